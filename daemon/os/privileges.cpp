#include "os/privileges.hpp"

#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "os/error.hpp"

namespace appserver::os {
namespace {

constexpr std::size_t kMaxEntry = std::size_t{4} << 20;  // a group may list very many members

// Calls one of the getXXnam_r(3) family with a buffer that grows until the entry fits.
template <typename Call>
int with_growing_buffer(std::vector<char>& buffer, Call&& call) {
  for (buffer.resize(16384);; buffer.resize(buffer.size() * 2)) {
    const int error = call();
    if (error != ERANGE || buffer.size() > kMaxEntry) return error;
  }
}

gid_t find_group(const std::string& name) {
  std::vector<char> buffer;
  struct group entry {};
  struct group* found = nullptr;
  const int error = with_growing_buffer(buffer, [&] {
    return ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
  });
  if (error != 0) throw_system_error(error, fmt::format("looking up group '{}'", name));
  if (found == nullptr)
    throw std::runtime_error(fmt::format("there is no group '{}' on this machine", name));
  return found->gr_gid;
}

std::vector<gid_t> groups_of(const std::string& user, gid_t primary) {
  int count = 64;
  std::vector<gid_t> groups(static_cast<std::size_t>(count));
  while (::getgrouplist(user.c_str(), primary, groups.data(), &count) < 0) {
    if (count > 65536)
      throw std::runtime_error(fmt::format("user '{}' is in too many groups", user));
    groups.resize(static_cast<std::size_t>(count));
  }
  groups.resize(static_cast<std::size_t>(count));
  return groups;
}

// A change of user keeps them where securebits say so, and keeps the inheritable ones always.
void drop_capabilities(const std::string& user) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  const std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> none{};
  check(::syscall(SYS_capset, &header, none.data()), "capset() for user '{}'", user);
}

}  // namespace

Identity find_identity(const std::string& user, const std::string& group) {
  std::vector<char> buffer;
  struct passwd entry {};
  struct passwd* found = nullptr;
  const int error = with_growing_buffer(buffer, [&] {
    return ::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
  });
  if (error != 0) throw_system_error(error, fmt::format("looking up user '{}'", user));
  if (found == nullptr)
    throw std::runtime_error(fmt::format("there is no user '{}' on this machine", user));
  Identity identity;
  identity.uid = found->pw_uid;
  identity.gid = group.empty() ? found->pw_gid : find_group(group);
  identity.user = user;
  identity.supplementary = groups_of(user, identity.gid);
  return identity;
}

void become(const Identity& identity) {
  const bool changes = ::geteuid() != identity.uid || ::getegid() != identity.gid;
  if (changes || ::geteuid() == 0) {
    check(::setgroups(identity.supplementary.size(), identity.supplementary.data()),
          "setgroups() for user '{}'", identity.user);
  }
  check(::setresgid(identity.gid, identity.gid, identity.gid), "setresgid({}) for user '{}'",
        identity.gid, identity.user);
  check(::setresuid(identity.uid, identity.uid, identity.uid), "setresuid({}) for user '{}'",
        identity.uid, identity.user);
  if (identity.uid == 0) return;
  drop_capabilities(identity.user);
  // A user of group 0 is already there.
  if (::setresuid(0, 0, 0) == 0 || (identity.gid != 0 && ::setegid(0) == 0)) {
    throw std::runtime_error(fmt::format("user '{}' could become root again", identity.user));
  }
}

void forbid_new_privileges() {
  check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)");
}

}  // namespace appserver::os
