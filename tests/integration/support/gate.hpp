// A request that the test itself lets finish: /gate?file=F of the probe plugin is answered once F
// exists.
#pragma once

#include <filesystem>
#include <string>

#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/scratch_dir.hpp"

namespace appserver::integration {

class Gate {
 public:
  explicit Gate(const std::filesystem::path& folder, const std::string& name = "gate")
      : file_(folder / name) {
    // The worker, which may run as another user, says in this file that the request has reached it.
    write_file(reached(), "");
    std::filesystem::permissions(reached(), std::filesystem::perms::all);
  }

  std::string target() const { return "/gate?file=" + file_.string(); }
  std::string request(const Endpoint& endpoint) const {
    return request_text("GET", target(), endpoint.authority());
  }

  void wait_until_reached(Deadline deadline = 10s) const {
    eventually("the gated request is in the plugin", deadline,
               [&] { return !read_whole(reached()).empty(); });
  }
  void open() const { write_file(file_, "open"); }

 private:
  std::filesystem::path reached() const { return file_.string() + ".reached"; }
  std::filesystem::path file_;
};

}  // namespace appserver::integration
