// Serves the files of a folder.
//   settings: {folder: /srv/www, cache_control: max-age=60, index: index.html, hidden: false}
// The folder is opened at the start of a worker: put another in its place (or point a link to it),
// and reload.
#include <appserver/plugin.hpp>
#include <appserver/static_files.hpp>
#include <optional>

namespace {

class FileServer final : public appserver::Plugin {
 public:
  void self_check(appserver::Worker& worker) override { open(worker); }
  void on_worker_start(appserver::Worker& worker) override { open(worker); }

  void on_request(appserver::Request& request, appserver::Response& response) override {
    files_->serve(request, response);
  }

 private:
  void open(appserver::Worker& worker) {
    const auto settings = worker.settings();
    files_.emplace(worker, settings.require("folder"),
                   appserver::StaticOptions{.index = settings.get("index", "index.html"),
                                            .hidden = settings.get("hidden", false),
                                            .cache_control = settings.get("cache_control", "")});
  }

  std::optional<appserver::StaticFiles> files_;
};

}  // namespace

APPSERVER_PLUGIN(FileServer, "file-server", "1.0.0")
