#include "os/privileges.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "os/error.hpp"

namespace appserver::os {
namespace {

gid_t find_group(const std::string& name) {
  std::array<char, 16384> buffer;
  struct group entry {};
  struct group* found = nullptr;
  const int error = ::getgrnam_r(name.c_str(), &entry, buffer.data(), buffer.size(), &found);
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

}  // namespace

Identity find_identity(const std::string& user, const std::string& group) {
  std::array<char, 16384> buffer;
  struct passwd entry {};
  struct passwd* found = nullptr;
  const int error = ::getpwnam_r(user.c_str(), &entry, buffer.data(), buffer.size(), &found);
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
  if (identity.uid != 0 && (::setresuid(0, 0, 0) == 0 || ::setegid(0) == 0)) {
    throw std::runtime_error(fmt::format("user '{}' could become root again", identity.user));
  }
}

void forbid_new_privileges() {
  check(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl(PR_SET_NO_NEW_PRIVS)");
}

}  // namespace appserver::os
