#include "os/privileges.hpp"

#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <catch2/catch.hpp>
#include <functional>

#include "os/error.hpp"

using namespace appserver;

namespace {

constexpr int kUnexpected = 255;

// The exit code of a forked process that runs `body`; kUnexpected where it throws.
int in_a_child(const std::function<int()>& body) {
  const pid_t pid = os::check(::fork(), "fork()");
  if (pid == 0) {
    try {
      ::_exit(body());
    } catch (const std::exception&) {
      ::_exit(kUnexpected);
    }
  }
  int status = 0;
  os::check(os::retry_on_interrupt([&] { return ::waitpid(pid, &status, 0); }), "waitpid()");
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool has_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3> data{};
  if (::syscall(SYS_capget, &header, data.data()) != 0) return true;
  for (const auto& set : data) {
    if (set.effective != 0 || set.permitted != 0 || set.inheritable != 0) return true;
  }
  return false;
}

bool is_root() {
  if (::geteuid() == 0) return true;
  WARN("only root can become somebody else: nothing was tested");
  return false;
}

}  // namespace

TEST_CASE("names that do not exist are named") {
  CHECK_THROWS_WITH(os::find_identity("no-such-user", ""),
                    "there is no user 'no-such-user' on this machine");
  CHECK_THROWS_WITH(os::find_identity("nobody", "no-such-group"),
                    "there is no group 'no-such-group' on this machine");
}

TEST_CASE("an identity has the user's primary group unless another is asked for") {
  const os::Identity root = os::find_identity("root", "");
  CHECK(root.uid == 0);
  CHECK(root.gid == 0);
  const os::Identity other = os::find_identity("root", "daemon");
  CHECK(other.gid == ::getgrnam("daemon")->gr_gid);
  CHECK(std::ranges::find(other.supplementary, other.gid) != other.supplementary.end());
}

TEST_CASE("a process becomes another user for good") {
  if (!is_root()) return;
  const os::Identity nobody = os::find_identity("nobody", "");
  CHECK(in_a_child([&] {
          os::become(nobody);
          std::array<uid_t, 3> uids{};
          std::array<gid_t, 3> gids{};
          ::getresuid(&uids[0], &uids[1], &uids[2]);
          ::getresgid(&gids[0], &gids[1], &gids[2]);
          for (const uid_t uid : uids) {
            if (uid != nobody.uid) return 1;
          }
          for (const gid_t gid : gids) {
            if (gid != nobody.gid) return 2;
          }
          if (::setuid(0) == 0 || ::seteuid(0) == 0) return 3;
          if (::setgid(0) == 0 || ::setgroups(0, nullptr) == 0) return 4;
          const int groups = ::getgroups(0, nullptr);
          return groups == static_cast<int>(nobody.supplementary.size()) ? 0 : 5;
        }) == 0);
}

TEST_CASE("no capability is kept, not even where the process asked to keep them") {
  if (!is_root()) return;
  const os::Identity nobody = os::find_identity("nobody", "");
  CHECK(in_a_child([&] {
          if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return 1;
          os::become(nobody);
          return has_capabilities() ? 2 : 0;
        }) == 0);
}

TEST_CASE("a user of root's group is not taken for root") {
  if (!is_root()) return;
  const os::Identity member = os::find_identity("nobody", "root");
  CHECK(in_a_child([&] {
          os::become(member);
          return ::getegid() == 0 && ::geteuid() == member.uid ? 0 : 1;
        }) == 0);
}

TEST_CASE("a process without privilege cannot become somebody else and is told") {
  if (!is_root()) return;
  const os::Identity nobody = os::find_identity("nobody", "");
  const os::Identity daemon = os::find_identity("daemon", "");
  CHECK(in_a_child([&] {
          os::become(nobody);
          os::become(nobody);
          try {
            os::become(daemon);
          } catch (const os::SystemError& error) {
            return std::string(error.what()).find("user 'daemon'") != std::string::npos ? 0 : 1;
          }
          return 2;
        }) == 0);
}

TEST_CASE("new privileges can be forbidden") {
  CHECK(in_a_child([] {
          os::forbid_new_privileges();
          return ::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
        }) == 1);
}
