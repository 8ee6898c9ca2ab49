// The files of a folder, over HTTP.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <appserver/detail/conditions.hpp>
#include <appserver/detail/folder.hpp>
#include <appserver/detail/media_types.hpp>
#include <appserver/http.hpp>
#include <appserver/worker.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

namespace appserver {

struct StaticOptions {
  std::string index = "index.html";  // of a folder; empty: folders are not there
  bool hidden = false;               // names that begin with '.', such as .well-known, are there
  std::string cache_control = {};    // the header's value; empty: none is sent
  // Content types by extension, lower case, without the dot; before those that are known anyway.
  std::map<std::string, std::string, std::less<>> types = {};
};

namespace detail {

// A file on its way to a client, in pieces. Holds no bytes while the client does not read: a piece
// is read when there is room for it.
class FileTransfer {
 public:
  FileTransfer(Worker& worker, Stream stream, FileHandle file, ByteRange range) noexcept
      : worker_(&worker), stream_(std::move(stream)), file_(std::move(file)), left_(range) {}

  // kTaken: a piece was written; kGone: there is nothing more to do.
  Write write_piece() {
    if (const Write room = stream_.write({}); room != Write::kTaken) return room;
    std::array<char, kPiece> bytes;
    const std::size_t wanted = std::min<std::uint64_t>(bytes.size(), left_.size);
    const ::ssize_t got =
        ::pread(file_.get(), bytes.data(), wanted, static_cast<::off_t>(left_.first));
    if (got <= 0) {
      if (got < 0 && errno == EINTR) return Write::kFull;
      worker_->warn(got == 0 ? "a file was cut while it was sent; its client was cut off"
                             : "a file that is sent cannot be read; its client was cut off");
      stream_.abort();
      return Write::kGone;
    }
    const Write result = stream_.write({bytes.data(), static_cast<std::size_t>(got)});
    if (result != Write::kTaken) return result;
    pause_ = kShortest;
    left_.first += static_cast<std::uint64_t>(got);
    left_.size -= static_cast<std::uint64_t>(got);
    if (left_.size > 0) return Write::kTaken;
    stream_.finish();
    return Write::kGone;
  }

  // How long to leave the client alone that had no room; longer each time.
  std::chrono::milliseconds next_pause() {
    return std::exchange(pause_, std::min(pause_ * 2, kLongest));
  }

 private:
  static constexpr std::size_t kPiece = 64 * 1024;
  static constexpr std::chrono::milliseconds kShortest{5};
  static constexpr std::chrono::milliseconds kLongest{320};

  Worker* worker_;
  Stream stream_;
  FileHandle file_;
  ByteRange left_;
  std::chrono::milliseconds pause_ = kShortest;
};

// All files that are on their way: however many they are, a turn of the loop sends a few pieces,
// and each has its turn. Its timers keep it alive.
class FileTransfers : public std::enable_shared_from_this<FileTransfers> {
 public:
  explicit FileTransfers(Worker& worker) noexcept : worker_(worker) {}

  // Writes the next piece of it, and goes on later.
  void go_on(FileTransfer transfer) {
    switch (transfer.write_piece()) {
      case Write::kGone:
        return;
      case Write::kFull:
        return wait(std::move(transfer));
      case Write::kTaken:
        ready_.push_back(std::move(transfer));
        if (!running_) run_later();
    }
  }

 private:
  static constexpr std::size_t kPiecesATurn = 16;

  void wait(FileTransfer transfer) {
    const auto pause = transfer.next_pause();
    worker_
        .after(pause, [self = shared_from_this(),
                       left = std::move(transfer)]() mutable { self->go_on(std::move(left)); })
        .detach();
  }

  void run_later() {
    running_ = true;
    worker_.after(std::chrono::milliseconds(0), [self = shared_from_this()] { self->run(); })
        .detach();
  }

  void run() {
    for (std::size_t left = kPiecesATurn; left > 0 && !ready_.empty(); --left) {
      FileTransfer next = std::move(ready_.front());
      ready_.pop_front();
      go_on(std::move(next));
    }
    running_ = false;
    if (!ready_.empty()) run_later();
  }

  Worker& worker_;
  std::deque<FileTransfer> ready_;
  bool running_ = false;
};

}  // namespace detail

// Answers GET and HEAD with the regular files below a folder: content types by extension,
// validators (ETag, Last-Modified) and the conditions over them, single ranges, index files.
// Nothing above the folder can be reached, also not through symbolic links. Larger files go out in
// pieces as the client reads them. Files are read on the loop: right for local disks.
//
// The folder is opened once: a folder that takes its place later is seen by the next worker. Put
// files in place by rename: one that is written to while it is sent is sent as it is found.
class StaticFiles {
 public:
  // Keeps the worker. Throws std::system_error if the folder cannot be opened.
  StaticFiles(Worker& worker, const std::string& folder, StaticOptions options = {})
      : worker_(worker),
        folder_(folder),
        options_(std::move(options)),
        transfers_(std::make_shared<detail::FileTransfers>(worker)) {}

  // By the path of the request.
  void serve(const Request& request, Response& response) const {
    std::string_view path = request.path();
    if (path.starts_with('/')) path.remove_prefix(1);
    serve(request, response, path);
  }

  // By a part of it, still encoded, without a slash in front: in a Router that of {path...}, by
  // `params.raw("path")`. Throws BadRequest where it is not percent-encoded rightly.
  void serve(const Request& request, Response& response, std::string_view path) const {
    if (request.method() != "GET" && request.method() != "HEAD") {
      response.status(405).header("Allow", "GET, HEAD").text("Method Not Allowed\n");
      return;
    }
    auto wanted = detail::folder_path(path, options_.hidden);
    if (!wanted) return not_found(response);
    detail::FolderEntry entry = open(wanted->text);
    if (entry.is_folder()) {
      if (options_.index.empty()) return not_found(response);
      if (!wanted->text.empty()) wanted->text += '/';
      wanted->text += options_.index;
      entry = open(wanted->text);
      if (!entry.is_file()) return not_found(response);
      if (!wanted->slash) return redirect(request, response, path);
    } else if (!entry.is_file() || wanted->slash) {
      return not_found(response);
    }
    answer(request, response, std::move(entry), wanted->text);
  }

 private:
  static constexpr std::uint64_t kWholeAtMost = 256 * 1024;

  static void not_found(Response& response) { response.status(404).text("Not Found\n"); }

  detail::FolderEntry open(const std::string& path) const {
    try {
      return folder_.open(path);
    } catch (const std::system_error& error) {
      throw std::runtime_error("static files: " + std::string(error.what()));
    }
  }

  // Relative, so that it holds behind whatever prefix a proxy took away, and "./" so that it is
  // nothing but a path.
  static void redirect(const Request& request, Response& response, std::string_view path) {
    const std::size_t slash = path.rfind('/');
    std::string to = "./";
    to.append(slash == std::string_view::npos ? path : path.substr(slash + 1)).append("/");
    if (!request.query_string().empty()) to.append("?").append(request.query_string());
    response.status(301).header("Location", to).text("Moved Permanently\n");
  }

  std::string type_of(std::string_view path) const {
    const std::string_view name = path.substr(path.rfind('/') + 1);
    const std::size_t dot = name.rfind('.');
    std::string extension(dot == std::string_view::npos ? "" : name.substr(dot + 1));
    for (char& c : extension) c = detail::lower(c);
    const auto own = options_.types.find(extension);
    return own != options_.types.end() ? own->second : std::string(detail::media_type(extension));
  }

  // Of the change time, too: a file put in place with an old modification time is another one.
  static detail::Validators validators(const struct ::stat& facts, std::time_t now) {
    std::array<char, 128> etag{};
    std::snprintf(etag.data(), etag.size(), "\"%llx.%lx-%llx.%lx-%llx\"",
                  static_cast<unsigned long long>(facts.st_mtim.tv_sec),
                  static_cast<unsigned long>(facts.st_mtim.tv_nsec),
                  static_cast<unsigned long long>(facts.st_ctim.tv_sec),
                  static_cast<unsigned long>(facts.st_ctim.tv_nsec),
                  static_cast<unsigned long long>(facts.st_size));
    return {etag.data(), std::min(facts.st_mtim.tv_sec, now)};
  }

  void answer(const Request& request, Response& response, detail::FolderEntry entry,
              const std::string& path) const {
    const std::time_t now = std::time(nullptr);
    const auto size = static_cast<std::uint64_t>(entry.facts.st_size);
    const detail::Validators found = validators(entry.facts, now);
    response.header("ETag", found.etag)
        .header("Last-Modified", detail::http_date(found.modified))
        .header("Accept-Ranges", "bytes")
        .header("X-Content-Type-Options", "nosniff");
    if (!options_.cache_control.empty()) response.header("Cache-Control", options_.cache_control);

    const int verdict = detail::evaluate_conditions(request, found);
    if (verdict == 412) response.text("Precondition Failed\n");
    if (verdict != 200) {
      response.status(verdict);
      return;
    }
    detail::ByteRange part{0, size};
    const auto range = request.header("Range");
    if (range && request.method() == "GET" && detail::range_applies(request, found, now)) {
      const detail::RangeOutcome outcome = detail::read_range(*range, size);
      if (outcome.kind == detail::RangeKind::kUnsatisfiable) {
        response.status(416).header("Content-Range", "bytes */" + std::to_string(size));
        response.text("Range Not Satisfiable\n");
        return;
      }
      if (outcome.kind == detail::RangeKind::kPart) {
        part = outcome.part;
        response.status(206).header("Content-Range",
                                    "bytes " + std::to_string(part.first) + "-" +
                                        std::to_string(part.first + part.size - 1) + "/" +
                                        std::to_string(size));
      }
    }
    send(request, response, std::move(entry.file), part, type_of(path));
  }

  void send(const Request& request, Response& response, detail::FileHandle file,
            detail::ByteRange part, const std::string& type) const {
    if (request.method() == "HEAD") {
      response.stream(type, part.size).finish();
    } else if (part.size > kWholeAtMost) {
      transfers_->go_on({worker_, response.stream(type, part.size), std::move(file), part});
    } else {
      response.body(read(file, part), type);
    }
  }

  static std::string read(const detail::FileHandle& file, detail::ByteRange part) {
    std::string content(part.size, '\0');
    std::size_t have = 0;
    while (have < content.size()) {
      const ::ssize_t got = ::pread(file.get(), content.data() + have, content.size() - have,
                                    static_cast<::off_t>(part.first + have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw std::system_error(errno, std::generic_category(), "static files: read");
      if (got == 0) throw std::runtime_error("static files: a file was cut while it was read");
      have += static_cast<std::size_t>(got);
    }
    return content;
  }

  Worker& worker_;
  detail::Folder folder_;
  StaticOptions options_;
  std::shared_ptr<detail::FileTransfers> transfers_;
};

}  // namespace appserver
