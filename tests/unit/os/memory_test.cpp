#include "os/memory.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>

using namespace appserver;
namespace fs = std::filesystem;

namespace {

// A /proc and a /sys/fs/cgroup of the test's own.
class Kernel {
 public:
  Kernel() {
    std::string name = fs::temp_directory_path() / "memory-XXXXXX";
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    root_ = name;
    write("proc/meminfo",
          "MemTotal:       8000 kB\nMemFree:          10 kB\nMemAvailable:   1000 kB\n");
    write("proc/self/cgroup", "0::/system.slice/app.service\n");
  }
  Kernel(const Kernel&) = delete;
  Kernel& operator=(const Kernel&) = delete;
  ~Kernel() { fs::remove_all(root_); }

  void write(const fs::path& file, std::string_view text) {
    fs::create_directories((root_ / file).parent_path());
    std::ofstream(root_ / file, std::ios::trunc) << text;
  }

  void limit(const fs::path& cgroup, std::string_view most, std::string_view used,
             std::string_view stat = "") {
    write("cgroup" / cgroup / "memory.max", most);
    write("cgroup" / cgroup / "memory.current", used);
    if (!stat.empty()) write("cgroup" / cgroup / "memory.stat", stat);
  }

  void remove(const fs::path& file) { fs::remove_all(root_ / file); }

  std::optional<std::uint64_t> available() const {
    return os::available_memory(root_ / "proc", root_ / "cgroup");
  }

 private:
  fs::path root_;
};

constexpr std::uint64_t kSystem = 1'024'000;

}  // namespace

TEST_CASE("this system says how much memory it has left") {
  const auto left = os::available_memory();
  REQUIRE(left);
  CHECK(*left > (1u << 20));
}

TEST_CASE("without a limit of a cgroup, what the system has left counts") {
  Kernel kernel;
  SECTION("no cgroups at all") {}
  SECTION("no limit set") { kernel.limit("system.slice/app.service", "max\n", "500\n"); }
  SECTION("cgroup v1 only") {
    kernel.write("proc/self/cgroup", "3:memory:/app\n1:name=systemd:/app\n");
    kernel.write("cgroup/memory/app/memory.limit_in_bytes", "1000\n");
  }
  SECTION("no word on the own cgroup") { kernel.remove("proc/self/cgroup"); }
  SECTION("a limit that is no number") { kernel.limit("system.slice/app.service", "", "500\n"); }
  SECTION("a limit without what is used") {
    kernel.write("cgroup/system.slice/app.service/memory.max", "1000\n");
  }
  SECTION("a limit with more left than the system has") {
    kernel.limit("system.slice/app.service", "9000000\n", "500\n");
  }
  CHECK(kernel.available() == kSystem);
}

TEST_CASE("the tightest of the own cgroup and those above it counts") {
  Kernel kernel;
  kernel.limit("system.slice/app.service", "90000\n", "10000\n");
  CHECK(kernel.available() == 80'000);
  kernel.limit("system.slice", "100000\n", "40000\n");
  CHECK(kernel.available() == 60'000);
  kernel.limit("", "70000\n", "40000\n");
  CHECK(kernel.available() == 30'000);
  kernel.limit("system.slice/other.service", "10\n", "10\n");
  CHECK(kernel.available() == 30'000);
}

TEST_CASE("page cache that the kernel would drop counts as free") {
  Kernel kernel;
  const fs::path own = "system.slice/app.service";
  kernel.limit(own, "90000\n", "80000\n",
               "anon 9\nfile 70000\ninactive_file 20000\nactive_file 30000\nshmem 5\n");
  CHECK(kernel.available() == 60'000);
  kernel.limit(own, "90000\n", "80000\n", "inactive_file 90000\n");
  CHECK(kernel.available() == 90'000);
}

TEST_CASE("a cgroup over its limit has nothing left") {
  Kernel kernel;
  kernel.limit("system.slice/app.service", "90000\n", "90001\n");
  CHECK(kernel.available() == 0);
}

TEST_CASE("a cgroup outside the namespace is not looked for outside the mount") {
  Kernel kernel;
  kernel.write("proc/self/cgroup", "0::/../outside\n");
  kernel.write("outside/memory.max", "5\n");
  kernel.write("outside/memory.current", "1\n");
  CHECK(kernel.available() == kSystem);
}

TEST_CASE("a kernel that does not say is not guessed for, but its cgroup is believed") {
  Kernel kernel;
  kernel.write("proc/meminfo", "MemTotal: 8000 kB\n");
  CHECK_FALSE(kernel.available());
  kernel.limit("", "1000\n", "100\n");
  CHECK(kernel.available() == 900);
}
