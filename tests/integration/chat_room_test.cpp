// The chat in the daemon: members that are moved by one reload after another are told each line
// once, and nobody comes or leaves by it.
#include <atomic>
#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <map>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/talk.hpp"

using namespace appserver::integration;

namespace {

std::string chat(int count) {
  return "groups:\n  api: {plugin: chat-room, count: " + std::to_string(count) +
         ", listen: 'http://127.0.0.1:0', settings: {history: 400, lines_per_minute: 0}}\n";
}

WebSocketWish as(const std::string& name) {
  WebSocketWish wish;
  wish.path = "/chat?room=storm&name=" + name;
  wish.deflate = name.back() % 2 == 0;
  return wish;
}

struct Line {
  std::string kind;
  std::string name;
  std::string text;
};

Line next_line(Talk& talk) {
  const auto message = talk.receive();
  if (!message) throw std::runtime_error("the server has ended the connection");
  const auto json = boost::json::parse(*message);
  const auto text = [&](const char* key) {
    const auto* const found = json.as_object().if_contains(key);
    return found == nullptr ? std::string() : boost::json::value_to<std::string>(*found);
  };
  return {text("kind"), text("name"), text("text")};
}

// Members that count, each waiting for its own line before the next one, and that check that each
// of the others counts on without a gap.
class Members {
 public:
  Members(const Endpoint& endpoint, int count) {
    for (int i = 0; i < count; ++i) {
      const std::string name = "m" + std::to_string(i);
      talks_.emplace_back(endpoint, 20s, as(name));
      // Each is there before the first line is said.
      while (next_line(talks_.back()).name != name) continue;
    }
    problems_.resize(talks_.size());
    for (std::size_t i = 0; i < talks_.size(); ++i)
      threads_.emplace_back([this, i] { problems_[i] = run(i); });
  }
  ~Members() { stop(); }
  Members(const Members&) = delete;
  Members& operator=(const Members&) = delete;

  void wait_for_more(std::size_t lines) const {
    const std::size_t wanted = told_ + lines;
    eventually("members were told more lines", 30s, [&] { return told_ >= wanted; });
  }

  std::vector<std::string> stop() {
    stopping_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    std::erase(problems_, "");
    return problems_;
  }

 private:
  std::string run(std::size_t index) {
    const std::string me = "m" + std::to_string(index);
    try {
      std::map<std::string, int> heard;
      std::size_t ended = 0;
      for (int said = 1;; ++said) {
        const bool last = stopping_;
        talks_[index].send(last ? "end" : std::to_string(said));
        while (heard[me] < said) ended += listen(index, heard);
        if (!last) continue;
        while (ended < talks_.size()) ended += listen(index, heard);
        return {};
      }
    } catch (const std::exception& error) {
      return me + ": " + error.what();
    }
  }

  // Takes one line. 1: its speaker has ended.
  std::size_t listen(std::size_t index, std::map<std::string, int>& heard) {
    const Line line = next_line(talks_[index]);
    if (line.kind == "came") return 0;
    if (line.kind != "said") throw std::runtime_error(line.name + " " + line.kind + line.text);
    const int wanted = ++heard[line.name];
    if (line.text == "end") return 1;
    if (line.text != std::to_string(wanted)) {
      throw std::runtime_error(line.name + " said " + line.text + ", expected " +
                               std::to_string(wanted));
    }
    ++told_;
    return 0;
  }

  std::vector<Talk> talks_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> told_{0};
  std::vector<std::string> problems_;
  std::vector<std::thread> threads_;
};

void reload(Daemon& daemon) {
  const Finished finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
}

}  // namespace

TEST_CASE("a chat goes on over reload after reload: nobody leaves, no line is lost or doubled") {
  Site site(chat(1));
  site.install(shipped_plugin("chat-room"), "chat-room");
  Daemon daemon(site);
  Members members(daemon.address(), 8);
  for (int round = 0; round < 8; ++round) {
    members.wait_for_more(400);
    reload(daemon);
  }
  members.wait_for_more(400);
  CHECK(members.stop() == std::vector<std::string>{});
}

TEST_CASE("the chat serves its page, and a room remembers over a reload who still is in it") {
  Site site(chat(1));
  site.install(shipped_plugin("chat-room"), "chat-room");
  Daemon daemon(site);
  CHECK(get(daemon.address(), "/").body.find("chat.js") != std::string::npos);
  CHECK(get(daemon.address(), "/chat.js").header("Content-Type") ==
        "text/javascript; charset=utf-8");
  Talk ada(daemon.address(), 15s, as("ada0"));
  ada.send("before");
  while (next_line(ada).text != "before") continue;
  reload(daemon);
  Talk bob(daemon.address(), 15s, as("bob1"));
  CHECK(next_line(bob).kind == "came");
  CHECK(next_line(bob).text == "before");
  CHECK(next_line(bob).name == "bob1");
  CHECK(next_line(ada).name == "bob1");
}
