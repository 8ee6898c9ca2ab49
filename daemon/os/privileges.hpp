// Becoming another user for good: credentials(7), capabilities(7).
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace appserver::os {

struct Identity {
  uid_t uid = 0;
  gid_t gid = 0;
  std::string user;  // for initgroups-like lookups and messages
  std::vector<gid_t> supplementary;
};

// Looks the names up; `group` empty: the user's primary group. Throws std::runtime_error naming
// what does not exist.
Identity find_identity(const std::string& user, const std::string& group);

// Takes on the identity, gives up every capability that it would leave, and proves that there is no
// way back. Throws, having changed an unknown part, on any failure: the process must end then.
void become(const Identity& identity);

// No exec of this process can gain privileges any more (PR_SET_NO_NEW_PRIVS).
void forbid_new_privileges();

}  // namespace appserver::os
