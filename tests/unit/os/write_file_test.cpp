#include "os/write_file.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <cstdlib>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "os/error.hpp"
#include "os/fd.hpp"

using namespace appserver;
namespace fs = std::filesystem;

namespace {

class Folder {
 public:
  Folder() {
    std::string name = fs::temp_directory_path() / "write-file-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() { fs::remove_all(path_); }

  const fs::path& path() const { return path_; }
  std::size_t entries() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(path_), fs::directory_iterator()));
  }

 private:
  fs::path path_;
};

std::string read(const fs::path& file) { return os::read_file(file, std::size_t{64} << 20); }

mode_t mode_of(const fs::path& file) {
  struct stat status {};
  os::check(::stat(file.c_str(), &status), "stat(\"{}\")", file.native());
  return status.st_mode & 07777;
}

// Each content is one letter, many times: a mixture would show.
[[noreturn]] void write_for_ever(const fs::path& target) noexcept {
  for (char letter = 'a';; letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1)) {
    os::write_file(target, std::string(1 << 20, letter), 0600);
  }
}

}  // namespace

TEST_CASE("a file is written with its mode, whatever the umask, and replaces the one before") {
  const Folder folder;
  const fs::path target = folder.path() / "x.json";
  const mode_t old = ::umask(077);
  os::write_file(target, "one", 0640);
  ::umask(old);
  CHECK(mode_of(target) == 0640);
  os::write_file(target, "", 0600);
  CHECK(read(target).empty());
  CHECK(mode_of(target) == 0600);
  CHECK(folder.entries() == 1);
}

TEST_CASE("who has the old file open goes on to see the old content") {
  const Folder folder;
  const fs::path target = folder.path() / "x";
  os::write_file(target, "old", 0600);
  const os::Fd before = os::open_file(target, O_RDONLY);
  os::write_file(target, "new", 0600);
  CHECK(read(fmt::format("/proc/self/fd/{}", before.get())) == "old");
  CHECK(read(target) == "new");
}

TEST_CASE("a write that cannot be says on what, and leaves all as it was") {
  const Folder folder;
  const fs::path absent = folder.path() / "absent/x";
  CHECK_THROWS_WITH(os::write_file(absent, "x", 0600),
                    "writing \"" + absent.native() + "\": No such file or directory");
  const fs::path taken = folder.path() / "taken";
  fs::create_directory(taken);
  CHECK_THROWS_AS(os::write_file(taken, "x", 0600), os::SystemError);
  CHECK(fs::is_directory(taken));
  CHECK(folder.entries() == 1);
}

TEST_CASE("a file that may not grow so far is reported as a lack of space, and nothing changes") {
  const Folder folder;
  const fs::path target = folder.path() / "x";
  os::write_file(target, "old", 0600);
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit limit{4096, 4096};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, SIG_IGN);
    try {
      os::write_file(target, std::string(10'000, 'x'), 0600);
    } catch (const os::SystemError& error) {
      const bool said = error.what() == "writing \"" + target.native() +
                                            "\", which needs more free space: File too large";
      ::_exit(said ? 0 : 1);
    }
    ::_exit(2);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(read(target) == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("a writer that is killed at any moment leaves one whole content or the other") {
  const Folder folder;
  const fs::path target = folder.path() / "x";
  os::write_file(target, std::string(1 << 20, 'z'), 0600);
  std::mt19937 random(11);
  for (int round = 0; round < 15; ++round) {
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) write_for_ever(target);
    // Not to wait for anything: the moment of the kill is what varies.
    ::usleep(static_cast<useconds_t>(random() % 20'000));
    REQUIRE(::kill(child, SIGKILL) == 0);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
    const std::string content = read(target);
    REQUIRE(content == std::string(1 << 20, content.at(0)));
    os::remove_temporaries(folder.path());
    REQUIRE(folder.entries() == 1);
  }
}

TEST_CASE("only temporary files are tidied away") {
  const Folder folder;
  os::write_file(folder.path() / ".incoming", "kept", 0600);
  os::write_file(folder.path() / ".incoming-a1b2c3", "half", 0600);
  fs::create_directory(folder.path() / ".incoming-folder");
  os::remove_temporaries(folder.path());
  CHECK(folder.entries() == 2);
  CHECK(read(folder.path() / ".incoming") == "kept");
  CHECK_THROWS_AS(os::remove_temporaries(folder.path() / "absent"), os::SystemError);
}
