// TLS as its clients meet it: every scheme, certificates that are renewed or bad, and reloads under
// load.
#include <atomic>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "support/daemon.hpp"
#include "support/eventually.hpp"
#include "support/http_client.hpp"
#include "support/site.hpp"
#include "support/tls_talk.hpp"
#include "support/websocket.hpp"

using namespace appserver::integration;
using appserver::test::Authority;
using appserver::test::Made;
using appserver::test::Wanted;
namespace fs = std::filesystem;

namespace {

const Authority& authority() {
  static const Authority made;
  return made;
}

Made issue(const std::string& common_name, std::vector<std::string> names = {"localhost"}) {
  Wanted wanted;
  wanted.common_name = common_name;
  wanted.names = std::move(names);
  return authority().issue(wanted);
}

// By rename, as tools that renew certificates do.
void put(const fs::path& file, const std::string& content) {
  const fs::path fresh = file.native() + ".new";
  std::ofstream(fresh, std::ios::binary) << content;
  fs::permissions(fresh, fs::perms::owner_read | fs::perms::owner_write);
  fs::rename(fresh, file);
}

void put(const Site& site, const Made& made, const std::string& name = "a") {
  put(site.root() / (name + ".pem"), made.chain);
  put(site.root() / (name + ".key"), made.key);
}

std::string group(const std::string& listen, const std::string& more = {},
                  const std::string& plugin = "talk") {
  return "groups:\n  api:\n    plugin: " + plugin + "\n    listen: ['" + listen +
         "']\n    count: 2\n    tls: {certificate: a.pem, key: a.key}\n" + more;
}

fs::path talk(const char* version, const std::string& kind = "talk") {
  return fs::path(APPSERVER_TEST_PLUGINS) / version / (kind + ".so");
}

std::size_t times(const std::string& text, const std::string& words) {
  std::size_t count = 0;
  for (auto at = text.find(words); at != std::string::npos; at = text.find(words, at + 1)) ++count;
  return count;
}

TlsWish wish() { return TlsWish{authority().certificate()}; }

// One question of the talk plugin and its answer, over whatever the address speaks; nullopt where
// the server ends the connection politely instead.
std::optional<std::string> ask(TlsTalk& client, const std::string& scheme,
                               const std::string& question) {
  if (scheme == "https") {
    auto answer = client.get("/");
    if (answer && !answer->empty()) answer->pop_back();
    return answer;
  }
  if (scheme == "wss") {
    client.send(masked_frame(Opcode::text, question));
    std::string bytes;
    for (;;) {
      auto more = client.receive(1);
      if (!more) throw std::runtime_error("a WebSocket ended without a close frame");
      bytes += *more;
      if (auto frame = take_frame(bytes)) {
        if (frame->opcode == Opcode::close) return std::nullopt;
        return frame->payload;
      }
    }
  }
  if (scheme == "frame+tls") {
    const auto size = static_cast<unsigned char>(question.size() + 4);
    client.send(std::string("\0\0\0", 3) + static_cast<char>(size) + question);
    const auto head = client.receive(4);
    if (!head) return std::nullopt;
    return client.receive(static_cast<unsigned char>(head->back()) - 4U);
  }
  client.send(question + "\n");
  auto line = client.receive_until("\n");
  if (line) line->pop_back();
  return line;
}

void open(TlsTalk& client, const Endpoint& endpoint) {
  if (endpoint.scheme != "wss") return;
  client.send(handshake_of(endpoint, {}));
  const auto head = client.receive_until("\r\n\r\n");
  if (!head || !head->starts_with("HTTP/1.1 101")) throw std::runtime_error("no WebSocket");
}

// Clients that ask again and again, and come back where they are told to go.
class Storm {
 public:
  Storm(const Endpoint& endpoint, int clients) {
    for (int i = 0; i < clients; ++i) {
      threads_.emplace_back([this, endpoint] {
        try {
          while (!stopping_) run(endpoint);
        } catch (const std::exception& error) {
          const std::lock_guard lock(mutex_);
          problems_.emplace_back(error.what());
        }
      });
    }
  }
  ~Storm() { stop(); }

  void wait_for_more(std::size_t answers) {
    const std::size_t wanted = answered_ + answers;
    eventually(
        "clients were answered", 60s, [&] { return answered_ >= wanted || failed(); },
        [&] { return std::to_string(answered_) + " answers"; });
  }
  std::vector<std::string> stop() {
    stopping_ = true;
    for (auto& thread : threads_) thread.join();
    threads_.clear();
    return problems_;
  }
  std::size_t connections() const { return connections_; }

 private:
  bool failed() {
    const std::lock_guard lock(mutex_);
    return !problems_.empty();
  }

  void run(const Endpoint& endpoint) {
    TlsTalk client(endpoint, wish());
    ++connections_;
    open(client, endpoint);
    while (!stopping_) {
      const auto answer = ask(client, endpoint.scheme, "hello");
      if (!answer) {
        if (endpoint.scheme == "https") throw std::runtime_error("a request had no answer");
        return;
      }
      if (!answer->starts_with("v")) throw std::runtime_error("a wrong answer: " + *answer);
      ++answered_;
      if (client.told_to_close()) {
        if (!client.ends_politely()) throw std::runtime_error("an end without close_notify");
        return;
      }
    }
  }

  std::mutex mutex_;
  std::vector<std::string> problems_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::size_t> answered_{0};
  std::atomic<std::size_t> connections_{0};
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("every protocol is served under TLS, over TCP and unix sockets") {
  const std::string scheme = GENERATE("https", "wss", "tls", "text+tls", "frame+tls");
  const std::string place = GENERATE("127.0.0.1:0", "unix:run/tls.sock");
  INFO(scheme << " " << place);
  Site site(group(scheme + "://" + place));
  put(site, issue("served"));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  const Endpoint endpoint = daemon.address();
  TlsTalk client(endpoint, wish());
  open(client, endpoint);
  CHECK(client.server_common_name() == "served");
  const std::string first = ask(client, scheme, "one").value_or("nothing");
  CHECK(first.starts_with("v1"));
  CHECK(ask(client, scheme, "two").value_or("nothing").starts_with("v1"));
}

TEST_CASE("a plugin learns what protects a request, and who its client is") {
  Site site(
      "groups:\n  api:\n    plugin: probe\n    listen: ['https://127.0.0.1:0', "
      "'http://127.0.0.1:0']\n    tls: {certificate: a.pem, key: a.key, client_certificates: "
      "optional, client_ca: ca.pem}\n");
  put(site, issue("served"));
  put(site.root() / "ca.pem", authority().certificate());
  Daemon daemon(site);
  TlsTalk nobody(daemon.address(), wish());
  CHECK(nobody.get("/tls") == "TLSv1.3  localhost \n");
  TlsWish as_alice = wish();
  as_alice.identity = issue("alice", {});
  TlsTalk alice(daemon.address(), as_alice);
  CHECK(alice.get("/tls") == "TLSv1.3  localhost CN=alice\n");
  CHECK(get(daemon.address({}, 1), "/tls").body == "none\n");
}

TEST_CASE("the name that a client asks for chooses the certificate of the daemon") {
  Site site(
      "groups:\n  api:\n    plugin: probe\n    listen: https://127.0.0.1:0\n    tls:\n"
      "      certificates:\n        - {certificate: a.pem, key: a.key}\n"
      "        - {certificate: b.pem, key: b.key}\n");
  put(site, issue("first", {"localhost"}));
  put(site, issue("second", {"*.shop.test"}), "b");
  Daemon daemon(site);
  TlsTalk first(daemon.address(), wish());
  CHECK(first.server_common_name() == "first");
  TlsWish other = wish();
  other.name = "www.shop.test";
  TlsTalk second(daemon.address(), other);
  CHECK(second.server_common_name() == "second");
}

TEST_CASE("renewed certificates serve new connections without a reload, and none is dropped") {
  const bool reloadable = GENERATE(true, false);
  Site site(group("https://127.0.0.1:0",
                  std::string("    reloadable: ") + (reloadable ? "true\n" : "false\n")));
  put(site, issue("old"));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  TlsTalk before(daemon.address(), wish());
  CHECK(before.get("/") == "v1\n");
  const auto pids = daemon.pids();

  put(site, issue("new"));
  // Each of the workers has them by and by.
  int in_a_row = 0;
  eventually("new connections get the new certificate", 40s, [&] {
    TlsTalk client(daemon.address(), wish());
    in_a_row = client.server_common_name() == "new" ? in_a_row + 1 : 0;
    return in_a_row == 20;
  });
  CHECK(before.server_common_name() == "old");
  CHECK(before.get("/") == "v1\n");
  CHECK(daemon.pids() == pids);
}

TEST_CASE("what is amiss with certificates in use stands in the status, whatever is reloaded") {
  Wanted wanted;
  wanted.from_day = -10;
  wanted.to_day = -1;
  Site site(group("https://127.0.0.1:0"));
  put(site, authority().issue(wanted));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  const auto told = [&] {
    const Finished status = daemon.ctl({"status"});
    const std::string words = "api: tls: the certificate ";
    const std::size_t first = status.out.find(words);
    return first != std::string::npos && status.out.find(words, first + 1) == std::string::npos;
  };
  CHECK(told());
  CHECK(daemon.ctl({"reload", "--changed"}).exit.code == 0);
  CHECK(told());
  CHECK(daemon.ctl({"reload"}).exit.code == 0);
  CHECK(told());
  put(site, issue("new"));
  CHECK(daemon.ctl({"reload"}).exit.code == 0);
  CHECK_FALSE(told());
}

TEST_CASE("a renewal that is no good is told once, and what was there before serves on") {
  Site site(group("https://127.0.0.1:0"));
  const Made good = issue("old");
  put(site, good);
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  daemon.expect_error("api: tls: ");
  put(site.root() / "a.key", issue("another").key);
  daemon.wait_for_log("is not that of the certificate", 40s);
  TlsTalk client(daemon.address(), wish());
  CHECK(client.server_common_name() == "old");
  const Finished status = daemon.ctl({"status"});
  CHECK(status.text().find("api: tls: ") != std::string::npos);

  const Made fresh = issue("fresh");
  put(site, fresh);
  eventually("the mended files serve", 40s,
             [&] { return TlsTalk(daemon.address(), wish()).server_common_name() == "fresh"; });
}

TEST_CASE("a reload with a bad key is refused, and nothing that runs is touched") {
  Site site(group("https://127.0.0.1:0"));
  put(site, issue("old"));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  // The files may be looked at before the reload, too.
  daemon.expect_error("a.key");
  const auto pids = daemon.pids();
  put(site.root() / "a.key", "no key at all\n");
  const Finished finished = daemon.ctl({"reload"});
  CHECK(finished.exit.code == 3);
  CHECK(finished.text().find("groups.api.tls: ") != std::string::npos);
  CHECK(finished.text().find("a.key has no private key in PEM") != std::string::npos);
  CHECK(daemon.pids() == pids);
  TlsTalk client(daemon.address(), wish());
  CHECK(client.get("/") == "v1\n");
}

TEST_CASE("a daemon that comes back to a damaged key serves all else, and TLS once it is mended") {
  const Made good = issue("good");
  Site site(group("https://127.0.0.1:0") +
            "  plain: {plugin: talk, listen: 'http://127.0.0.1:0'}\n");
  put(site, good);
  site.install(talk("v1"), "talk");
  { Daemon daemon(site); }
  put(site.root() / "a.key", "torn");
  Daemon daemon(site);
  daemon.expect_error("a.key");
  REQUIRE(daemon.status().group("plain").ready == 1);
  daemon.wait_for_log("until that is mended nothing is served under TLS");
  CHECK_THROWS(TlsTalk(daemon.address("api"), wish()).get("/"));
  CHECK(daemon.status().group("api").state == "degraded");
  CHECK(daemon.status().group("plain").state == "ok");
  CHECK(daemon.ctl({"status", "--json"}).out.find(R"("state":"not-served")") != std::string::npos);
  put(site, good);
  daemon.wait_for_log("api: its certificates have changed");
  TlsTalk client(daemon.address("api"), wish());
  CHECK(client.get("/"));
  CHECK(daemon.status().group("api").state == "ok");
  CHECK(times(daemon.log(), "nothing is served under TLS") == 1);
}

TEST_CASE("a daemon that comes back to one damaged certificate of two serves the other") {
  Site site(
      "groups:\n  api:\n    plugin: probe\n    listen: https://127.0.0.1:0\n    tls:\n"
      "      certificates:\n        - {certificate: a.pem, key: a.key}\n"
      "        - {certificate: b.pem, key: b.key}\n");
  const Made good = issue("first");
  put(site, good);
  put(site, issue("second", {"shop.test"}), "b");
  { Daemon daemon(site); }
  put(site.root() / "a.key", "torn");
  Daemon daemon(site);
  daemon.expect_error("a.key");
  TlsWish shop = wish();
  shop.name = "shop.test";
  CHECK(TlsTalk(daemon.address(), shop).server_common_name() == "second");
  CHECK(daemon.status().group("api").state == "degraded");
  put(site, good);
  daemon.wait_for_log("api: its certificates have changed");
  CHECK(TlsTalk(daemon.address(), wish()).server_common_name() == "first");
  CHECK(daemon.status().group("api").state == "ok");
}

TEST_CASE("an expired certificate takes the place of no valid one, by time or by a reload") {
  Site site(group("https://127.0.0.1:0"));
  put(site, issue("valid"));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  daemon.expect_error("has expired on");
  Wanted old;
  old.common_name = "expired";
  old.names = {"localhost"};
  old.from_day = -30;
  old.to_day = -1;
  put(site, authority().issue(old));
  const Finished finished = daemon.ctl({"reload"});
  INFO(finished.text());
  CHECK(finished.exit.code == 3);
  CHECK(finished.text().find("and the one in use is valid until ") != std::string::npos);
  daemon.wait_for_log("a.pem has expired on ", 40s);
  eventually("the status says it", 40s, [&] {
    return daemon.ctl({"status"}).out.find("; what was read before, valid until ") !=
           std::string::npos;
  });
  CHECK(TlsTalk(daemon.address(), wish()).server_common_name() == "valid");
  CHECK(daemon.ctl({"status", "--json"}).out.find(R"("state":"kept")") != std::string::npos);
  CHECK(daemon.status().group("api").state == "ok");
}

TEST_CASE("a certificate near its end is told in the log once, and in the status") {
  Wanted wanted;
  wanted.names = {"localhost"};
  wanted.from_day = -80;
  wanted.to_day = 5;
  Site site(group("https://127.0.0.1:0"));
  put(site, authority().issue(wanted));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  daemon.wait_for_log("a.pem for localhost expires in ");
  const Finished status = daemon.ctl({"status"});
  CHECK(status.out.find("api: tls: the certificate ") != std::string::npos);
  CHECK(status.out.find("a.pem expiring") != std::string::npos);
  CHECK(daemon.ctl({"reload"}).exit.code == 0);
  CHECK(times(daemon.log(), "expires in ") == 1);
}

TEST_CASE("a first start with a key that does not fit is refused by the name of the file") {
  Site site(group("https://127.0.0.1:0"));
  put(site, issue("good"));
  put(site.root() / "a.key", issue("another").key);
  site.install(talk("v1"), "talk");
  CHECK_THROWS_WITH(Daemon(site), Catch::Contains("a.key is not that of the certificate"));
}

TEST_CASE("a reload brings new certificates along, and a key never stands in what is kept") {
  Site site(group("https://127.0.0.1:0"));
  put(site, issue("old"));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  const Made fresh = issue("new");
  put(site, fresh);
  const Finished finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  CHECK(TlsTalk(daemon.address(), wish()).server_common_name() == "new");

  const std::string secret = fresh.key.substr(fresh.key.find('\n') + 1, 40);
  for (const auto& entry : fs::recursive_directory_iterator(site.state_dir())) {
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path(), std::ios::binary);
    const std::string content((std::istreambuf_iterator<char>(file)), {});
    INFO(entry.path());
    CHECK(content.find(secret) == std::string::npos);
  }
  CHECK(daemon.log().find(secret) == std::string::npos);
}

TEST_CASE("bare connections under TLS that are never silent end politely in a reload, soon") {
  Site site(group("tls://127.0.0.1:0", "    reload: {close_spread: 200ms, drain_timeout: 60s}\n"));
  put(site, issue("served"));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  Storm storm(daemon.address(), 4);
  storm.wait_for_more(100);
  const std::size_t before = storm.connections();
  site.install(talk("v2"), "talk");
  const auto began = std::chrono::steady_clock::now();
  const Finished finished = daemon.ctl({"reload"});
  INFO(finished.text());
  REQUIRE(finished.exit.code == 0);
  // Not the deadline has ended them.
  CHECK(std::chrono::steady_clock::now() - began < 30s);
  storm.wait_for_more(50);
  CHECK(storm.stop() == std::vector<std::string>{});
  CHECK(storm.connections() > before);
}

TEST_CASE("no request under TLS fails in a storm of reloads") {
  const std::string scheme = GENERATE("https", "wss", "text+tls");
  INFO(scheme);
  Site site(group(scheme + "://127.0.0.1:0", "    reload: {close_spread: 1s}\n"));
  put(site, issue("served"));
  site.install(talk("v1"), "talk");
  Daemon daemon(site);
  Storm storm(daemon.address(), 8);
  storm.wait_for_more(100);
  for (int round = 0; round < 6; ++round) {
    site.install(talk(round % 2 == 0 ? "v2" : "v1"), "talk");
    const Finished finished = daemon.ctl({"reload"});
    INFO(finished.text());
    REQUIRE(finished.exit.code == 0);
    storm.wait_for_more(50);
  }
  CHECK(storm.stop() == std::vector<std::string>{});
  // They were told to go, each time.
  CHECK(storm.connections() > 8);
}
