#include "appserverctl/run.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "ctl.hpp"

using namespace appserver;
using namespace appserver::appserverctl;
using control::FakeDaemon;
using control::RolloutResult;

namespace {

// A daemon in a process of its own that ends, or refuses to, when it is told to stop.
class ChildDaemon {
 public:
  ChildDaemon(const std::filesystem::path& socket, bool obedient) {
    int ready[2];
    REQUIRE(::pipe(ready) == 0);
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) serve(socket, obedient, ready[1]);
    ::close(ready[1]);
    char byte = 0;
    const bool up = ::read(ready[0], &byte, 1) == 1;
    ::close(ready[0]);
    REQUIRE(up);
  }
  ~ChildDaemon() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }

 private:
  [[noreturn]] static void serve(const std::filesystem::path& socket, bool obedient, int ready) {
    boost::asio::io_context context;
    control::FakeCommands commands;
    commands.on_stop = [&](const control::StopRequest&) {
      if (obedient) ::_exit(0);
    };
    control::ServerOptions options;
    options.socket = socket;
    control::Server server(context, std::move(options), commands);
    if (::write(ready, "r", 1) == 1) context.run();
    ::_exit(1);
  }

  pid_t pid_ = -1;
};

}  // namespace

TEST_CASE("every end of a rollout has its exit code, and its reason is on the terminal") {
  FakeDaemon daemon;
  const auto expect = [&](RolloutResult result, int code, const std::string& verdict = "FAILED") {
    daemon.on_loop([&] {
      daemon.commands.on_reload = [result](const auto&, const auto& events) {
        events->send({.kind = control::EventKind::rollout_started, .rollout = "r-1"});
        events->send(control::done_event(result, "because"));
      };
    });
    const Outcome outcome = ctl_for(daemon, {"reload"});
    CAPTURE(outcome.out, outcome.err);
    REQUIRE(outcome.code == code);
    REQUIRE(outcome.out ==
            (code == 0 ? "+0.00s r-1 started\ndone: because\n" : "+0.00s r-1 started\n"));
    REQUIRE(outcome.err == (code == 0 ? "" : verdict + ": because\n"));
  };
  expect(RolloutResult::done, 0);
  expect(RolloutResult::failed, 1);
  expect(RolloutResult::stopped, 1);
  expect(RolloutResult::refused, 3, "REFUSED, nothing was touched");
  expect(RolloutResult::rolled_back, 4, "ROLLED BACK, the old build serves");
  expect(RolloutResult::partial, 5, "PARTLY DONE");
  expect(RolloutResult::busy, 6);
}

TEST_CASE("reload passes on its groups and force, and --json gives the lines as they came") {
  FakeDaemon daemon;
  control::ReloadRequest asked;
  daemon.commands.on_reload = [&](const auto& request, const auto& events) {
    asked = request;
    events->send(control::done_event(RolloutResult::refused, "why"));
  };
  const Outcome outcome = ctl_for(daemon, {"reload", "a", "b", "--force", "--json"});
  REQUIRE(outcome.code == 3);
  REQUIRE(outcome.out ==
          "{\"event\":\"done\",\"elapsed_ms\":0,\"text\":\"why\",\"result\":\"refused\",\"exit_"
          "code\":3}\n");
  REQUIRE(outcome.err.empty());
  REQUIRE(asked == control::ReloadRequest{{"a", "b"}, true});
}

TEST_CASE("restart names its group") {
  FakeDaemon daemon;
  std::string asked;
  daemon.commands.on_restart = [&](const auto& request, const auto& events) {
    asked = request.group;
    events->send(control::done_event(RolloutResult::done));
  };
  REQUIRE(ctl_for(daemon, {"restart", "hello"}).code == 0);
  REQUIRE(asked == "hello");
}

TEST_CASE("a daemon lost in the middle of a reload is a failure that says what is known") {
  FakeDaemon daemon;
  daemon.commands.on_reload = [&](const auto&, const auto& events) {
    events->send({.text = "half way"});
    daemon.destroy_server_here();
  };
  const Outcome outcome = ctl_for(daemon, {"reload"});
  REQUIRE(outcome.code == 1);
  REQUIRE_THAT(outcome.err, Catch::StartsWith("FAILED: the connection to the daemon was lost") &&
                                Catch::Contains("half way") &&
                                Catch::Contains("appserverctl status"));
}

TEST_CASE("a reload that outlasts --timeout exits 7 and goes on") {
  FakeDaemon daemon;
  std::shared_ptr<control::EventStream> stream;
  daemon.commands.on_reload = [&](const auto&, auto events) { stream = std::move(events); };
  const Outcome outcome = ctl_for(daemon, {"reload", "--timeout", "100ms"});
  REQUIRE(outcome.code == 7);
  REQUIRE_THAT(outcome.err, Catch::Contains("goes on"));
  REQUIRE(daemon.on_loop([&] { return stream != nullptr; }));
  daemon.on_loop([&] { stream.reset(); });
}

TEST_CASE("without a daemon the exit code is 8, with the socket tried and the way out") {
  for (const std::vector<std::string>& verb :
       {std::vector<std::string>{"status"}, {"reload"}, {"stop"}, {"restart", "x"}}) {
    std::vector<std::string> arguments = verb;
    arguments.insert(arguments.end(), {"--socket", "/nowhere/x.sock"});
    const Outcome outcome = ctl(arguments);
    REQUIRE(outcome.code == 8);
    REQUIRE_THAT(outcome.err,
                 Catch::StartsWith("appserverctl: no daemon: /nowhere/x.sock: no such socket\n") &&
                     Catch::Contains("--socket"));
  }
}

TEST_CASE("what is wrong with the command line exits 2") {
  const Outcome outcome = ctl({"statsu"});
  REQUIRE(outcome.code == 2);
  REQUIRE(outcome.err ==
          "appserverctl: unknown verb 'statsu'; did you mean 'status'?\ntype `appserverctl help` "
          "for what there is\n");
  REQUIRE(ctl({}).code == 2);
  REQUIRE(ctl({"status", "--nope"}).code == 2);
}

TEST_CASE("the socket comes from the option, the configuration or the environment, in this order") {
  FakeDaemon daemon;
  const control::TemporaryFolder folder;
  const std::string config = folder / "app.yaml";
  std::ofstream(config)
      << "daemon: {control: {socket: " << daemon.socket().native()
      << "}}\ngroups: {api: {plugin: hello, listen: \"http://127.0.0.1:8080\"}}\n";
  const std::string socket = daemon.socket();
  REQUIRE(ctl({"status"}, {{"APPSERVER_SOCKET", socket}}).code == 0);
  REQUIRE(ctl({"status", "--config", config}, {{"APPSERVER_SOCKET", "/nowhere/x"}}).code == 0);
  REQUIRE(ctl({"status", "--config", config, "--socket", "/nowhere/y"}).code == 8);
  REQUIRE(ctl({"status", "--config", folder / "none.yaml"}).code == 1);
}

TEST_CASE("a configuration that cannot be read is a failure of every verb, and named") {
  const control::TemporaryFolder folder;
  const std::string path = folder / "app.yaml";
  std::filesystem::create_directory(path);
  for (const std::vector<std::string>& verb : std::vector<std::vector<std::string>>{
           {"status"}, {"reload"}, {"reload", "status"}, {"rollback"}, {"scale", "api", "2"}}) {
    std::vector<std::string> arguments = verb;
    arguments.insert(arguments.end(), {"--config", path});
    const Outcome outcome = ctl(arguments);
    CAPTURE(verb.front(), outcome.err);
    REQUIRE(outcome.code == 1);
    REQUIRE_THAT(outcome.err, Catch::StartsWith("appserverctl: " + path + ": "));
  }
}

TEST_CASE("status shows everything or one group, as a table or as JSON") {
  FakeDaemon daemon;
  const Outcome all = ctl_for(daemon, {"status"});
  REQUIRE(all.code == 0);
  REQUIRE_THAT(all.out, Catch::Contains("hello/0") && Catch::Contains("gateway"));
  const Outcome one = ctl_for(daemon, {"status", "hello"});
  REQUIRE_THAT(one.out, Catch::Contains("hello/0") && !Catch::Contains("gateway"));
  REQUIRE(control::status_from_json(control::parse_json(
              ctl_for(daemon, {"status", "--json"}).out)) == control::sample_status());
  const auto hello = control::status_from_json(
      control::parse_json(ctl_for(daemon, {"status", "hello", "--json"}).out));
  REQUIRE(hello.groups.size() == 1);
  const Outcome none = ctl_for(daemon, {"status", "helo"});
  REQUIRE(none.code == 1);
  REQUIRE(none.err == "appserverctl: no group 'helo'; did you mean 'hello'?\n");
}

TEST_CASE("version tells of both sides, and is no failure without a daemon") {
  FakeDaemon daemon;
  REQUIRE_THAT(ctl_for(daemon, {"version"}).out, Catch::Contains("appserverd 1.2.3 (pid "));
  REQUIRE_THAT(ctl_for(daemon, {"version", "--json"}).out, Catch::Contains("\"daemon\":\"1.2.3\""));
  const Outcome alone = ctl({"version", "--socket", "/nowhere/x.sock"});
  REQUIRE(alone.code == 0);
  REQUIRE_THAT(alone.out, Catch::Contains("not running on /nowhere/x.sock"));
}

TEST_CASE("who may not operate is told so with exit code 1") {
  control::ServerOptions options;
  options.credentials = [](int) {
    return control::Credentials{.uid = ::geteuid() + 1, .gid = 1, .pid = 1};
  };
  FakeDaemon daemon(std::move(options));
  const Outcome outcome = ctl_for(daemon, {"reload"});
  REQUIRE(outcome.code == 1);
  REQUIRE_THAT(outcome.err, Catch::Contains("may look but not change anything"));
}

TEST_CASE("stop returns when the daemon is gone") {
  const control::TemporaryFolder folder;
  const ChildDaemon daemon(folder / "x.sock", true);
  const Outcome outcome = ctl({"stop", "--socket", folder / "x.sock"});
  CAPTURE(outcome.err);
  REQUIRE(outcome.code == 0);
  REQUIRE(outcome.out == "stopped (pid " + std::to_string(daemon.pid()) + ")\n");
}

TEST_CASE("a stop that outlasts --timeout exits 7") {
  const control::TemporaryFolder folder;
  const ChildDaemon daemon(folder / "x.sock", false);
  const Outcome outcome = ctl({"stop", "--timeout", "200ms", "--socket", folder / "x.sock"});
  REQUIRE(outcome.code == 7);
  REQUIRE_THAT(outcome.err, Catch::StartsWith("still stopping (pid "));
}

TEST_CASE("check accepts a good file and names every problem of a bad one") {
  const control::TemporaryFolder folder;
  std::ofstream(folder / "good.yaml")
      << "groups: {api: {plugin: hello, listen: \"http://127.0.0.1:8080\"}}\n";
  std::ofstream(folder / "bad.yaml")
      << "groups:\n  api: {plugin: hello, listen: \"http://127.0.0.1:8080\", cuont: 1}\n"
      << "oops: 1\n";
  const Outcome good = ctl({"check", folder / "good.yaml"});
  CAPTURE(good.err);
  REQUIRE(good.code == 0);
  REQUIRE_THAT(good.out, Catch::EndsWith("good.yaml: ok, 1 group\n"));
  const Outcome bad = ctl({"check", folder / "bad.yaml"});
  REQUIRE(bad.code == 1);
  REQUIRE_THAT(bad.err, Catch::Contains("bad.yaml:2:") && Catch::Contains("count") &&
                            Catch::Contains("bad.yaml:3:"));
}

TEST_CASE("help lists every verb and exit code") {
  const Outcome help = ctl({"help"});
  REQUIRE(help.code == 0);
  for (const char* word : {"status", "reload", "reload watch", "rollback", "history", "restart",
                           "scale", "drain", "crashes show", "stop", "check", "version",
                           "--no-wait", "--confirm-within", "8 no daemon"}) {
    REQUIRE_THAT(help.out, Catch::Contains(word));
  }
}
