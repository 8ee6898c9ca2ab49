// The chat behind a gateway: its business workers are reloaded, and killed, under members who talk.
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <catch2/catch.hpp>
#include <cstdint>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "support/daemon.hpp"
#include "support/http_client.hpp"
#include "support/talk.hpp"

using namespace appserver::integration;

namespace {

// Two gateway workers, two business workers, a page; the database in the site's folder.
class ChatSite : public Site {
 public:
  ChatSite() : Site("groups: {}\n") {
    install(shipped_plugin("chat"), "chat");
    configure(
        "groups:\n"
        "  gate: {kind: gateway, listen: 'ws://127.0.0.1:0', count: 2}\n"
        "  chat: {kind: business, gateway: gate, plugin: chat, count: 2, settings: {history: 200, "
        "lines_per_minute: 0, database: '" +
        (root() / "chat.db").string() +
        "'}}\n"
        "  page: {plugin: chat, listen: 'http://127.0.0.1:0', settings: {websocket: ':8081'}}\n");
  }
};

struct Message {
  std::string is;
  std::string name;
  std::string text;
  std::string id;
  std::string why;
  std::int64_t seq = 0;
};

Message next_message(Talk& talk) {
  const auto received = talk.receive();
  if (!received) throw std::runtime_error("the server has ended the connection");
  const auto json = boost::json::parse(*received);
  const auto text = [&](const char* key) {
    const auto* const found = json.as_object().if_contains(key);
    return found == nullptr ? std::string() : boost::json::value_to<std::string>(*found);
  };
  const auto* const seq = json.as_object().if_contains("seq");
  return {text("is"), text("name"), text("text"),
          text("id"), text("why"),  seq == nullptr ? 0 : seq->as_int64()};
}

std::string join(const std::string& name, const std::string& room = "storm") {
  return boost::json::serialize(
      boost::json::object{{"do", "join"}, {"name", name}, {"room", room}});
}

Message join(Talk& talk, const std::string& name, const std::string& room = "storm") {
  talk.send(join(name, room));
  for (;;) {
    Message message = next_message(talk);
    if (message.is == "welcome" || message.is == "no") return message;
  }
}

void say(Talk& talk, const std::string& text) {
  const std::string id = std::string(16 - std::min<std::size_t>(text.size(), 16), '0') + text;
  talk.send(boost::json::serialize(boost::json::object{{"do", "say"}, {"id", id}, {"text", text}}));
}

// Members that count, each waiting until its number is kept before the next one, and that check
// that each of the others counts on without a gap. What is told once more, with its seq, is one.
class Members {
 public:
  Members(const Endpoint& endpoint, int count) {
    for (int i = 0; i < count; ++i) {
      talks_.emplace_back(endpoint, 30s);
      if (join(talks_.back(), "m" + std::to_string(i)).is != "welcome")
        throw std::runtime_error("m" + std::to_string(i) + " may not join");
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
    eventually("members were told more lines", 60s, [&] { return told_ >= wanted; });
  }

  std::vector<std::string> stop() {
    stopping_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    std::erase(problems_, "");
    return problems_;
  }

 private:
  struct Heard {
    std::map<std::string, int> counts;
    std::set<std::int64_t> seqs;
    std::size_t ended = 0;
    int kept = 0;
  };

  std::string run(std::size_t index) {
    const std::string me = "m" + std::to_string(index);
    try {
      Heard heard;
      for (int said = 1;; ++said) {
        const bool last = stopping_;
        say(talks_[index], last ? me + "-end" : me + "-" + std::to_string(said));
        while (heard.kept < said) listen(index, heard);
        if (!last) continue;
        while (heard.ended < talks_.size()) listen(index, heard);
        return {};
      }
    } catch (const std::exception& error) {
      return me + ": " + error.what();
    }
  }

  void listen(std::size_t index, Heard& heard) {
    const Message message = next_message(talks_[index]);
    if (message.is == "came") return;
    if (message.is == "kept") {
      ++heard.kept;
      return;
    }
    if (message.is != "said")
      throw std::runtime_error(message.name + " " + message.is + " " + message.why);
    if (!heard.seqs.insert(message.seq).second) return;
    const int wanted = ++heard.counts[message.name];
    if (message.text == message.name + "-end") {
      ++heard.ended;
    } else if (message.text != message.name + "-" + std::to_string(wanted)) {
      throw std::runtime_error("heard " + message.text + ", expected number " +
                               std::to_string(wanted) + " of " + message.name);
    } else {
      ++told_;
    }
  }

  std::vector<Talk> talks_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> told_{0};
  std::vector<std::string> problems_;
  std::vector<std::thread> threads_;
};

void reload(Daemon& daemon) {
  const Finished finished = daemon.ctl({"reload", "chat"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
}

// What somebody who comes is told of before, in the order in which it comes.
std::vector<Message> history(const Endpoint& endpoint, const std::string& name,
                             const std::string& last) {
  Talk talk(endpoint, 30s);
  REQUIRE(join(talk, name).is == "welcome");
  std::vector<Message> lines;
  while (lines.empty() || lines.back().text != last) lines.push_back(next_message(talk));
  return lines;
}

void check_order(const std::vector<Message>& lines) {
  std::set<std::string> texts;
  std::int64_t seq = 0;
  for (const Message& line : lines) {
    CAPTURE(line.is, line.text, line.seq);
    CHECK(line.seq > seq);
    seq = line.seq;
    CHECK(texts.insert(line.text).second);
  }
}

}  // namespace

TEST_CASE("members of a chat notice nothing of its business workers' reloads") {
  ChatSite site;
  Daemon daemon(site);
  Members members(daemon.address("gate"), 6);
  for (int round = 0; round < 6; ++round) {
    members.wait_for_more(300);
    reload(daemon);
  }
  members.wait_for_more(300);
  CHECK(members.stop() == std::vector<std::string>{});
}

TEST_CASE("a chat whose workers are killed keeps each line once, and tells it") {
  ChatSite site;
  Daemon daemon(site);
  daemon.expect_error("chat/");
  Members members(daemon.address("gate"), 4);
  for (int round = 0; round < 3; ++round) {
    members.wait_for_more(200);
    REQUIRE(::kill(daemon.pids("chat").front(), SIGKILL) == 0);
    members.wait_for_more(200);
    daemon.wait_until_ready();
  }
  CHECK(members.stop() == std::vector<std::string>{});
  Talk talk(daemon.address("gate"));
  REQUIRE(join(talk, "last").is == "welcome");
  say(talk, "the-end");
  while (next_message(talk).is != "kept") continue;
  check_order(history(daemon.address("gate"), "reader", "the-end"));
}

TEST_CASE("a room remembers over a restart of the daemon, and the page is served") {
  ChatSite site;
  {
    Daemon daemon(site);
    CHECK(get(daemon.address("page"), "/").body.find("chat.js") != std::string::npos);
    Talk ada(daemon.address("gate"));
    REQUIRE(join(ada, "Ada").is == "welcome");
    for (int i = 1; i <= 10; ++i) say(ada, std::to_string(i));
    for (int kept = 0; kept < 10;) kept += next_message(ada).is == "kept" ? 1 : 0;
    // One that does not answer a close frame would hold up the stop.
    ada.close();
    daemon.stop();
  }
  Daemon daemon(site);
  const auto lines = history(daemon.address("gate"), "Bob", "10");
  CHECK(lines.size() == 10);
  check_order(lines);
}

TEST_CASE("of those who ask for one name at one moment, one gets it") {
  constexpr std::size_t kRivals = 12;
  ChatSite site;
  Daemon daemon(site);
  const Endpoint endpoint = daemon.address("gate");
  for (int round = 0; round < 10; ++round) {
    std::vector<Talk> rivals;
    for (std::size_t i = 0; i < kRivals; ++i) rivals.emplace_back(endpoint);
    for (Talk& each : rivals) each.send(join("Ada" + std::to_string(round)));
    std::size_t welcome = 0;
    for (Talk& each : rivals) {
      Message message = next_message(each);
      while (message.is != "welcome" && message.is != "no") message = next_message(each);
      if (message.is == "welcome") ++welcome;
    }
    CHECK(welcome == 1);
  }
}
