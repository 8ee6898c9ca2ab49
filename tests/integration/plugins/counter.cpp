// A plugin that counts its requests in memory, and leaves the count to its successor; built twice.
// clang-format off
//   /       "N v1\n": the count, this request included
//   /from   what it began with: "empty\n", or "N of layout L\n"
// Settings: save: "good" | "hangs" | "crashes" | "throws" | "too_much" | "none"; save_if: FILE that
//   is there, else "good"; drain: "good" | "crashes"; fails_to_start_if: FILE; chokes_on: COUNT that
//   was left
// clang-format on
#include <signal.h>
#include <unistd.h>

#include <appserver/plugin.hpp>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>

namespace {

// The layout is the build's own: each understands the other's.
constexpr std::uint32_t kLayout = COUNTER_LAYOUT;

class Counter final : public appserver::Plugin {
 public:
  void on_worker_start(appserver::Worker& worker) override {
    const std::string file = worker.settings().get("fails_to_start_if", "");
    if (!file.empty() && kLayout == 2 && std::filesystem::exists(file))
      throw std::runtime_error("told to fail");
    save_ = worker.settings().get("save", "good");
    save_if_ = worker.settings().get("save_if", "");
    drain_ = worker.settings().get("drain", "good");
    const auto left = worker.predecessor_state();
    if (!left) return;
    if (left->bytes == worker.settings().get("chokes_on", ""))
      throw std::runtime_error("told to choke");
    count_ = std::stoull(std::string(left->bytes));
    from_ = std::to_string(count_) + " of layout " + std::to_string(left->version);
  }

  void on_save_state(appserver::SavedState& state) override {
    const bool good = !save_if_.empty() && !std::filesystem::exists(save_if_);
    if (good) save_ = "good";
    if (save_ == "crashes") ::raise(SIGSEGV);
    if (save_ == "throws") throw std::runtime_error("the count is lost");
    while (save_ == "hangs") ::pause();
    state.version = kLayout;
    state.bytes = std::to_string(count_);
    if (save_ == "too_much") state.bytes.resize(std::size_t{17} << 20);
  }

  void on_worker_drain(appserver::Worker&) override {
    if (drain_ == "crashes") ::raise(SIGSEGV);
  }

  void on_request(appserver::Request& request, appserver::Response& response) override {
    if (request.path() == "/from") {
      response.text(from_ + "\n");
      return;
    }
    ++count_;
    response.text(std::to_string(count_) + " v" + std::to_string(kLayout) + "\n");
  }

 private:
  std::string save_;
  std::string save_if_;
  std::string drain_;
  std::uint64_t count_ = 0;
  std::string from_ = "empty";
};

}  // namespace

APPSERVER_PLUGIN(Counter, "counter", "1.0.0")
