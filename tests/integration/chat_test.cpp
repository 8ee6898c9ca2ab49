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

// Gateway workers, two business workers, a page; the database in the site's folder.
class ChatSite : public Site {
 public:
  explicit ChatSite(int gateways = 2) : Site("groups: {}\n") {
    install(shipped_plugin("chat"), "chat");
    configure(
        "groups:\n"
        "  gate: {kind: gateway, listen: 'ws://127.0.0.1:0', count: " +
        std::to_string(gateways) +
        "}\n"
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

// Who has said what, as one member hears it. What is told once more, with its seq, is one.
class Heard {
 public:
  // In what order lines come: of one speaker as they were said, or, as two workers tell them over
  // two gateway workers, any; then only their seq does.
  explicit Heard(bool in_order) : in_order_(in_order) {}

  void add(const Message& line) {
    auto& lines = lines_[line.name];
    if (in_order_ && !lines.empty() && lines.rbegin()->first > line.seq)
      throw std::runtime_error(line.text + " came behind " + lines.rbegin()->second);
    lines.emplace(line.seq, line.text);
  }
  // Whether of so many speakers all is there up to the last line, "NAME-NUMBER-end". Throws where
  // that is not in the order of seq.
  bool is_complete(std::size_t speakers) const {
    return lines_.size() == speakers &&
           std::ranges::all_of(lines_, [](const auto& each) { return is_whole(each); });
  }

 private:
  using Lines = std::map<std::int64_t, std::string>;

  static bool is_whole(const std::pair<const std::string, Lines>& said) {
    const auto& [name, lines] = said;
    const std::string end = name + "-" + std::to_string(lines.size()) + "-end";
    if (lines.rbegin()->second != end) return false;
    std::size_t number = 0;
    for (const auto& [seq, text] : lines) {
      const std::string expected = name + "-" + std::to_string(++number);
      if (text != expected && text != end)
        throw std::runtime_error("heard " + text + ", expected " + expected);
    }
    return true;
  }

  bool in_order_;
  std::map<std::string, Lines> lines_;
};

// Members that count, each waiting until its number is kept before the next one, and that hear all
// of each other.
class Members {
 public:
  Members(const Endpoint& endpoint, int count, bool in_order) {
    for (int i = 0; i < count; ++i) {
      talks_.emplace_back(endpoint, 30s);
      if (join(talks_.back(), "m" + std::to_string(i)).is != "welcome")
        throw std::runtime_error("m" + std::to_string(i) + " may not join");
    }
    problems_.resize(talks_.size());
    for (std::size_t i = 0; i < talks_.size(); ++i)
      threads_.emplace_back([this, i, in_order] { problems_[i] = run(i, Heard(in_order)); });
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
  std::string run(std::size_t index, Heard heard) {
    const std::string me = "m" + std::to_string(index);
    try {
      int kept = 0;
      for (int said = 1;; ++said) {
        const bool last = stopping_;
        say(talks_[index], me + "-" + std::to_string(said) + (last ? "-end" : ""));
        while (kept < said) kept += listen(index, heard);
        if (!last) continue;
        while (!heard.is_complete(talks_.size())) listen(index, heard);
        return {};
      }
    } catch (const std::exception& error) {
      return me + ": " + error.what();
    }
  }

  // Takes one message. 1: the member's own line is kept.
  int listen(std::size_t index, Heard& heard) {
    const Message message = next_message(talks_[index]);
    if (message.is == "came") return 0;
    if (message.is == "kept") return 1;
    if (message.is != "said")
      throw std::runtime_error(message.name + " " + message.is + " " + message.why);
    heard.add(message);
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
  const int gateways = GENERATE(1, 2);
  ChatSite site(gateways);
  Daemon daemon(site);
  Members members(daemon.address("gate"), 6, gateways == 1);
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
  Members members(daemon.address("gate"), 4, false);
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
