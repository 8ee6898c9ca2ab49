#include "supervisor/drop_directory.hpp"

#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cstring>
#include <deque>
#include <exception>
#include <set>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "os/error.hpp"
#include "supervisor/trusted_folder.hpp"

namespace appserver::supervisor {

namespace asio = boost::asio;
using std::chrono::milliseconds;

namespace {

constexpr std::uint32_t kFileEvents =
    IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;
// IN_ATTRIB: from now on others may perhaps write to it.
// IN_EXCL_UNLINK: who still writes to a file that is no longer here is none of our business.
constexpr std::uint32_t kWatched =
    kFileEvents | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR | IN_EXCL_UNLINK;
constexpr std::uint32_t kFolderGone = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED;

// More files than this written at once are waited for by `quiet` alone.
constexpr std::size_t kMostWriting = 1024;
constexpr milliseconds kShortestPace{10};
constexpr milliseconds kLongestPace{1000};

// Groups whose going nobody was told of before it was forgotten run on, with a note.
constexpr std::size_t kMostTakenAway = 1024;
constexpr std::string_view kDescription = ".yaml";

bool is_relevant(std::string_view name) {
  if (name.starts_with('.')) return false;
  return name.ends_with(".so") || name.ends_with(kDescription);
}

std::string_view way_out(int error) {
  switch (error) {
    case ENOENT:
      return "make the folder, or do not watch it";
    case ENOSPC:
      return "raise the sysctl fs.inotify.max_user_watches";
    case EMFILE:
      return "raise the sysctl fs.inotify.max_user_instances or the limit of open files";
    default:
      return "the daemon must be able to read it";
  }
}

}  // namespace

// Shared with its own pending operations, so that the DropDirectory can go first, even from within
// a hook.
class DropDirectory::Watch final : public std::enable_shared_from_this<Watch> {
 public:
  Watch(asio::io_context& io, std::filesystem::path directory, Timing timing, Hooks hooks)
      : directory_(std::move(directory)),
        timing_(timing),
        hooks_(std::move(hooks)),
        queue_(io.get_executor()),
        settle_(io),
        search_(io) {}

  void begin() { try_look(); }
  bool is_watching() const { return watched_ >= 0; }

  void stop() {
    stopped_ = true;
    settle_.cancel();
    search_.cancel();
    boost::system::error_code ignored;
    queue_.close(ignored);
  }

 private:
  using Clock = std::chrono::steady_clock;
  using Queue = asio::posix::basic_stream_descriptor<asio::io_context::executor_type>;

  // Makes sure that what stands at the path now is watched, and may be. Throws, with nothing
  // watched.
  void look() {
    if (!queue_.is_open()) open_queue();
    const int found = ::inotify_add_watch(queue_.native_handle(), directory_.c_str(), kWatched);
    if (found < 0) {
      const int error = errno;
      forget();
      os::throw_system_error(error, fmt::format("watching the plugin folder {} ({})",
                                                directory_.native(), way_out(error)));
    }
    // The same folder again has the number that it had.
    if (found != watched_) forget();
    watched_ = found;
    try {
      check_trusted(directory_);
    } catch (...) {
      forget();
      throw;
    }
  }

  void open_queue() {
    const int queue = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (queue < 0) {
      const int error = errno;
      os::throw_system_error(error, fmt::format("watching the plugin folder {} ({})",
                                                directory_.native(), way_out(error)));
    }
    queue_.assign(queue);
    read();
  }

  void forget() {
    // Fails where the folder is gone, and its watch with it.
    if (watched_ >= 0) ::inotify_rm_watch(queue_.native_handle(), watched_);
    watched_ = -1;
  }

  void read() {
    queue_.async_read_some(
        asio::buffer(buffer_),
        [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
          if (self->stopped_) return;
          if (error)
            self->start_anew(error);
          else
            self->take(size);
        });
  }

  void start_anew(const boost::system::error_code& error) {
    boost::system::error_code ignored;
    queue_.close(ignored);
    watched_ = -1;
    complain(fmt::format("reading what changed in the plugin folder {}: {}; it is watched anew",
                         directory_.native(), error.message()));
    search_later();
  }

  void take(std::size_t size) {
    bool gone = false;
    bool altered = false;
    for (std::size_t at = 0; at + sizeof(inotify_event) <= size;) {
      inotify_event event;
      std::memcpy(&event, &buffer_[at], sizeof(event));
      at += sizeof(event);
      const std::size_t room = std::min<std::size_t>(event.len, size - at);
      const std::string_view name(&buffer_[at], ::strnlen(&buffer_[at], room));
      at += room;
      if ((event.mask & IN_Q_OVERFLOW) != 0) {
        writing_.clear();  // the end of a writing may be among what was lost
        taken_away_.clear();
        changed();
      } else if (event.wd == watched_) {
        if ((event.mask & kFolderGone) != 0)
          gone = true;
        else if ((event.mask & IN_ATTRIB) != 0)
          altered = altered || name.empty();
        else if ((event.mask & IN_ISDIR) == 0 && is_relevant(name))
          note(event.mask, name);
      }
    }
    if (gone)
      search();
    else if (!altered || is_the_same())
      settle_later();
    if (!stopped_ && queue_.is_open()) read();
  }

  void note(std::uint32_t mask, std::string_view name) {
    if ((mask & IN_MODIFY) != 0) {
      if (writing_.size() < kMostWriting) writing_.emplace(name);
    } else if ((mask & IN_CREATE) == 0) {
      if (const auto found = writing_.find(name); found != writing_.end()) writing_.erase(found);
    }
    note_taken_away(mask, name);
    changed();
  }

  void note_taken_away(std::uint32_t mask, std::string_view name) {
    if (!name.ends_with(kDescription)) return;
    name.remove_suffix(kDescription.size());
    std::erase(taken_away_, name);
    if ((mask & (IN_DELETE | IN_MOVED_FROM)) == 0) return;
    taken_away_.emplace_back(name);
    if (taken_away_.size() > kMostTakenAway) taken_away_.pop_front();
  }

  void changed() {
    last_ = Clock::now();
    if (!std::exchange(pending_, true)) first_ = last_;
  }

  Clock::time_point due() const {
    const Clock::time_point latest = first_ + timing_.longest;
    return writing_.empty() ? std::min(last_ + timing_.quiet, latest) : latest;
  }

  void settle_later() {
    // A timer that ends too early looks again at its end: cheaper than one set anew at each event.
    if (!pending_ || (waiting_ && settle_.expiry() <= due())) return;
    waiting_ = true;
    settle_.expires_at(due());
    settle_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
      if (aborted || self->stopped_) return;
      self->waiting_ = false;
      if (!self->pending_) return;
      if (Clock::now() < self->due())
        self->settle_later();
      else
        self->report();
    });
  }

  void report() {
    // A writer who went on for so long must not hold up the next change.
    writing_.clear();
    if (!is_the_same()) return;
    pending_ = false;
    hooks_.settled({taken_away_.begin(), taken_away_.end()});
  }

  // Whether the folder may still be watched, and no other one has taken its place.
  bool is_the_same() {
    const int before = watched_;
    if (!try_look()) return false;
    if (watched_ == before) return true;
    taken_away_.clear();
    changed();
    settle_later();
    return false;
  }

  // What stands at the path now, if anything, is another folder, and so a change.
  void search() {
    writing_.clear();
    taken_away_.clear();
    if (!try_look()) return;
    changed();
    settle_later();
  }

  bool try_look() {
    try {
      look();
    } catch (const std::exception& problem) {
      pending_ = false;
      complain(problem.what());
      search_later();
      return false;
    }
    if (!std::exchange(complaint_, {}).empty()) hooks_.mended();
    return !stopped_;
  }

  void search_later() {
    if (stopped_) return;
    search_.expires_after(std::clamp(timing_.quiet, kShortestPace, kLongestPace));
    search_.async_wait([self = shared_from_this()](const boost::system::error_code& aborted) {
      if (!aborted && !self->stopped_) self->search();
    });
  }

  // Says what is new only: the search comes by here once a second.
  void complain(const std::string& problem) {
    if (complaint_ == problem) return;
    complaint_ = problem;
    hooks_.problem(problem);
  }

  const std::filesystem::path directory_;
  const Timing timing_;
  const Hooks hooks_;
  Queue queue_;
  asio::steady_timer settle_;
  asio::steady_timer search_;
  std::array<char, 16'384> buffer_;
  int watched_ = -1;                            // the watch of the folder; -1: none
  std::set<std::string, std::less<>> writing_;  // were written to and not closed since
  std::deque<std::string> taken_away_;          // each once, and the last one to go last
  bool pending_ = false;                        // there is something to report
  Clock::time_point first_;                     // the changes that are pending
  Clock::time_point last_;
  bool waiting_ = false;  // settle_ is under way
  bool stopped_ = false;
  std::string complaint_;
};

DropDirectory::DropDirectory(asio::io_context& io, std::filesystem::path directory, Timing timing,
                             Hooks hooks)
    : watch_(std::make_shared<Watch>(io, std::move(directory), timing, std::move(hooks))) {
  watch_->begin();
}

DropDirectory::~DropDirectory() { watch_->stop(); }

bool DropDirectory::is_watching() const { return watch_->is_watching(); }

}  // namespace appserver::supervisor
