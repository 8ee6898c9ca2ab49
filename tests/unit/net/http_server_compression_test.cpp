#include <zlib.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "http_server_harness.hpp"

using namespace appserver;
using namespace appserver::test;

namespace {

net::HttpLimits compressing() {
  net::HttpLimits limits = small_limits();
  limits.compression = {true, {"text/*"}, 100, 6};
  return limits;
}

// What can be read of a gzip stream so far, and whether it is whole.
struct Unpacked {
  std::string text;
  bool whole = false;
};

Unpacked unpack(std::string_view packed) {
  z_stream stream{};
  REQUIRE(::inflateInit2(&stream, 15 + 16) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  Unpacked result;
  std::vector<char> chunk(65'536);
  int status = Z_OK;
  while (status == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream.avail_out = static_cast<uInt>(chunk.size());
    status = ::inflate(&stream, Z_SYNC_FLUSH);
    result.text.append(chunk.data(), chunk.size() - stream.avail_out);
  }
  result.whole = status == Z_STREAM_END && stream.avail_in == 0;
  ::inflateEnd(&stream);
  return result;
}

std::string_view body_of(std::string_view answer) {
  return answer.substr(answer.find("\r\n\r\n") + 4);
}

struct Chunks {
  std::string data;
  bool whole = false;
  std::size_t count = 0;
};

// Of the chunks that have come.
Chunks chunks_of(std::string_view body) {
  Chunks chunks;
  while (!chunks.whole) {
    const auto line = body.find("\r\n");
    if (line == std::string_view::npos) break;
    const std::size_t size = std::stoul(std::string(body.substr(0, line)), nullptr, 16);
    if (body.size() < line + 2 + size + 2) break;
    chunks.data.append(body.substr(line + 2, size));
    chunks.whole = size == 0;
    ++chunks.count;
    body.remove_prefix(line + 2 + size + 2);
  }
  return chunks;
}

appserver_http_response answer(std::string_view body) {
  static const appserver_header kType{{"Content-Type", 12}, {"text/plain", 10}};
  appserver_http_response response{};
  response.size = sizeof(response);
  response.status = 200;
  response.headers = &kType;
  response.header_count = 1;
  response.header_stride = sizeof(appserver_header);
  response.body = {body.data(), body.size()};
  return response;
}

struct Compressing : Serving {
  Compressing() : Serving(compressing()) {
    script.on = [this](appserver_exchange exchange, const appserver_http_request& request) {
      last = exchange;
      if (text(request.path) == "/stream") {
        CHECK(server.start(exchange, answer(""), length) == APPSERVER_OK);
      } else if (text(request.path) == "/later") {
        server.defer(exchange);
      } else {
        CHECK(server.respond(exchange, answer(body)) == APPSERVER_OK);
      }
    };
  }

  bool gets_whole_chunks(Client& client) {
    return until([&] {
      client.read_all();
      return client.got("\r\n\r\n") && chunks_of(body_of(client.received)).whole;
    });
  }

  std::string body = std::string(10'000, 'x');
  std::int64_t length = -1;
  appserver_exchange last = 0;
};

// A millisecond goes by with each piece of work, and none otherwise.
struct WorkClock {
  // One at the beginning of a turn, one behind each piece.
  static constexpr int kMostATurn = 1 + static_cast<int>(net::TurnBudget::kMost.count());

  explicit WorkClock(net::HttpServer& server) {
    server.measure_work_by([this] { return std::chrono::milliseconds(looks++); });
  }
  WorkClock(const WorkClock&) = delete;
  WorkClock& operator=(const WorkClock&) = delete;

  int looks = 0;
};

const std::string kTakes = "Accept-Encoding: gzip\r\n";

std::string noise(std::size_t size) {
  std::mt19937 random(1);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

}  // namespace

TEST_CASE("a whole answer is compressed for who takes it, with its own length") {
  Compressing serving;
  Client client = serving.connect();
  client.send(get("/", kTakes) + get("/", kTakes));
  REQUIRE(serving.answered(client, 2));
  for (const std::string& body : client.bodies) {
    CHECK(body.size() < 200);
    CHECK(unpack(body).text == serving.body);
    CHECK(unpack(body).whole);
  }
  CHECK(client.got("\r\nContent-Encoding: gzip\r\n"));
  client.received.clear();
  client.send(get("/"));
  REQUIRE(serving.answered(client, 1));
  CHECK(client.bodies[0] == serving.body);
  CHECK(client.got("\r\nVary: Accept-Encoding\r\n"));
  CHECK_FALSE(client.got("Content-Encoding"));
}

TEST_CASE("a deferred answer is compressed, also for a client of HTTP/1.0") {
  Compressing serving;
  Client client = serving.connect();
  client.send("GET /later HTTP/1.0\r\n" + kTakes + "\r\n");
  REQUIRE(serving.has_seen(1));
  CHECK(serving.server.respond(serving.last, answer(serving.body)) == APPSERVER_OK);
  REQUIRE(serving.closes(client));
  REQUIRE(client.answers() == 1);
  CHECK(unpack(client.bodies[0]).text == serving.body);
}

TEST_CASE("an answer that does not get smaller goes as it is") {
  Compressing serving;
  serving.body = noise(5'000);
  Client client = serving.connect();
  client.send(get("/", kTakes));
  REQUIRE(serving.answered(client, 1));
  CHECK(client.bodies[0] == serving.body);
  CHECK(client.got("Vary: Accept-Encoding"));
  CHECK_FALSE(client.got("Content-Encoding"));
}

TEST_CASE("HEAD is answered with the fields of the compressed answer, and no body") {
  Compressing serving;
  Client client = serving.connect();
  client.send("HEAD / HTTP/1.1\r\nHost: a\r\n" + kTakes + "\r\n" + get("/"));
  REQUIRE(serving.until([&] {
    client.read_all();
    return client.received.ends_with(serving.body);
  }));
  const std::string head = client.received.substr(0, client.received.find("\r\n\r\n") + 4);
  CHECK(head.find("Content-Encoding: gzip") != std::string::npos);
  CHECK(head.find("Content-Length") == std::string::npos);
  CHECK(client.received.substr(head.size()).starts_with("HTTP/1.1 200"));
}

TEST_CASE("each piece of a compressed stream can be read before the next is written") {
  Compressing serving;
  Client client = serving.connect();
  client.send(get("/stream", kTakes));
  REQUIRE(serving.has_seen(1));
  std::string told;
  for (int i = 0; i < 20; ++i) {
    const std::string event = "data: " + std::to_string(i) + "\n\n";
    CHECK(serving.server.write(serving.last, event) == APPSERVER_OK);
    told += event;
    REQUIRE(serving.until([&] {
      client.read_all();
      return client.got("\r\n\r\n") &&
             unpack(chunks_of(body_of(client.received)).data).text == told;
    }));
  }
  CHECK(serving.server.finish(serving.last) == APPSERVER_OK);
  REQUIRE(serving.gets_whole_chunks(client));
  CHECK(unpack(chunks_of(body_of(client.received)).data).whole);
  client.received.clear();
  client.send(get("/"));
  CHECK(serving.answered(client, 1));
}

TEST_CASE("a compressed stream of known length holds to it") {
  Compressing serving;
  serving.length = 200;
  Client client = serving.connect();
  client.send(get("/stream", kTakes));
  REQUIRE(serving.has_seen(1));
  CHECK(serving.server.write(serving.last, std::string(150, 'a')) == APPSERVER_OK);
  CHECK(serving.server.write(serving.last, std::string(51, 'a')) == APPSERVER_INVALID);
  SECTION("reached, it ends well") {
    CHECK(serving.server.write(serving.last, std::string(50, 'a')) == APPSERVER_OK);
    CHECK(serving.server.finish(serving.last) == APPSERVER_OK);
    REQUIRE(serving.gets_whole_chunks(client));
    CHECK(unpack(chunks_of(body_of(client.received)).data).text == std::string(200, 'a'));
  }
  SECTION("missed, it does not look whole") {
    CHECK(serving.server.finish(serving.last) == APPSERVER_INVALID);
    REQUIRE(serving.closes(client));
    CHECK_FALSE(chunks_of(body_of(client.received)).whole);
  }
}

TEST_CASE(
    "HTTP/1.0 gets a stream compressed up to the end, and as it is where its length is told") {
  Compressing serving;
  SECTION("unknown") {
    Client client = serving.connect();
    client.send("GET /stream HTTP/1.0\r\n" + kTakes + "\r\n");
    REQUIRE(serving.has_seen(1));
    CHECK(serving.server.write(serving.last, serving.body) == APPSERVER_OK);
    CHECK(serving.server.finish(serving.last) == APPSERVER_OK);
    REQUIRE(serving.closes(client));
    CHECK(unpack(body_of(client.received)).text == serving.body);
    CHECK(unpack(body_of(client.received)).whole);
  }
  SECTION("known") {
    serving.length = 10'000;
    Client client = serving.connect();
    client.send("GET /stream HTTP/1.0\r\n" + kTakes + "\r\n");
    REQUIRE(serving.has_seen(1));
    CHECK(serving.server.write(serving.last, serving.body) == APPSERVER_OK);
    CHECK(serving.server.finish(serving.last) == APPSERVER_OK);
    REQUIRE(serving.answered(client, 1));
    CHECK(client.bodies[0] == serving.body);
  }
}

TEST_CASE("others have their turn while a large answer is compressed") {
  Compressing serving;
  // Compressed it is small: what the client takes does not pace it.
  serving.body = std::string(20 * net::HttpServer::kMostWhole, 'x');
  Client large = serving.connect_tcp();
  large.send(get("/", kTakes));
  REQUIRE(serving.has_seen(1));
  // Between two of them the loop looks at its events.
  std::size_t turns = 0;
  while (!chunks_of(large.got("\r\n\r\n") ? body_of(large.received) : "").whole) {
    REQUIRE(serving.context.run_one_for(std::chrono::seconds(10)) == 1);
    large.read_all();
    ++turns;
  }
  CHECK(turns >= 20 * net::HttpServer::kMostWhole / net::HttpServer::kPiece);
  CHECK(unpack(chunks_of(body_of(large.received)).data).text == serving.body);
  large.received.clear();
  serving.body = "short";
  large.send(get("/", kTakes));
  REQUIRE(serving.answered(large, 1));
  CHECK(large.bodies[0] == "short");
}

TEST_CASE(
    "however many streams are compressed, a turn of the loop does a few pieces in their order") {
  Compressing serving;
  const WorkClock clock(serving.server);
  constexpr std::size_t kSize = net::HttpServer::kMaxPendingOutput / 4;
  std::vector<Client> clients;
  for (std::size_t i = 0; i < 40; ++i) {
    clients.push_back(serving.connect());
    clients.back().send(get("/stream", kTakes));
    REQUIRE(serving.has_seen(i + 1));
  }
  const auto streams = serving.script.seen;
  Client other = serving.connect();
  // Compressed it is next to nothing: what is unsent waits to be compressed.
  for (const auto stream : streams)
    REQUIRE(serving.server.write(stream, std::string(kSize, 'x')) == APPSERVER_OK);
  serving.body = "short";
  other.send(get("/"));
  int turns_until_answered = 0;
  serving.context.restart();
  std::size_t left = kSize;
  for (int turns = 0; left > 0; ++turns) {
    const int before = clock.looks;
    REQUIRE(serving.context.run_one_for(std::chrono::seconds(10)) == 1);
    REQUIRE(clock.looks - before <= WorkClock::kMostATurn);
    std::size_t least = kSize;
    left = 0;
    for (const auto stream : streams) {
      const std::size_t unsent = serving.server.unsent(stream);
      least = std::min(least, unsent);
      left = std::max(left, unsent);
    }
    // The first pieces are done at once, with the call and in the turn that sends them.
    REQUIRE(left <= least + 3 * net::HttpServer::kPiece + 1'000);
    if (other.received.empty() && !other.read_once()) turns_until_answered = turns;
  }
  CHECK(other.got("\r\n\r\nshort"));
  CHECK(turns_until_answered < 10);
  for (std::size_t i = 0; i < clients.size(); ++i) {
    CHECK(serving.server.finish(streams[i]) == APPSERVER_OK);
    REQUIRE(serving.gets_whole_chunks(clients[i]));
    CHECK(unpack(chunks_of(body_of(clients[i].received)).data).text == std::string(kSize, 'x'));
  }
}

TEST_CASE("whole answers share a turn's time, and go in pieces where it does not suffice") {
  Compressing serving;
  const WorkClock clock(serving.server);
  serving.body = noise(10 * net::HttpServer::kPiece) + std::string(100, 'x');
  std::vector<Client> clients;
  for (int i = 0; i < 40; ++i) clients.push_back(serving.connect_tcp());
  for (Client& client : clients) client.send(get("/", kTakes) + get("/", kTakes));
  // All are there in the loop's first look.
  while (serving.script.seen.size() < clients.size())
    REQUIRE(serving.context.run_one_for(std::chrono::seconds(10)) == 1);
  CHECK(clock.looks <= WorkClock::kMostATurn);
  for (Client& client : clients) {
    REQUIRE(serving.gets_whole_chunks(client));
    const Unpacked unpacked = unpack(chunks_of(body_of(client.received)).data);
    CHECK(unpacked.whole);
    CHECK((unpacked.text == serving.body));
  }
  CHECK(serving.has_seen(2 * clients.size()));
}

TEST_CASE("a client of HTTP/1.0 gets an answer as it is that the turn has no time to compress") {
  Compressing serving;
  const WorkClock clock(serving.server);
  serving.body.assign(10 * net::HttpServer::kPiece, 'x');
  Client client = serving.connect_tcp();
  client.send("GET / HTTP/1.0\r\n" + kTakes + "\r\n");
  REQUIRE(serving.closes(client));
  REQUIRE(client.answers() == 1);
  CHECK((client.bodies[0] == serving.body));
  CHECK(client.got("Vary: Accept-Encoding"));
}

TEST_CASE("a stream takes no more than its bound of what waits to be compressed") {
  Compressing serving;
  Client client = serving.connect();
  client.send(get("/stream", kTakes));
  REQUIRE(serving.has_seen(1));
  const std::string piece(net::HttpServer::kMostWhole, 'x');
  std::size_t taken = 0;
  while (serving.server.write(serving.last, piece) == APPSERVER_OK) {
    ++taken;
    REQUIRE(taken < 20);
  }
  CHECK(serving.server.unsent(serving.last) >= net::HttpServer::kMostStreamed);
  CHECK(serving.until([&] { return serving.server.unsent(serving.last) == 0; }));
  CHECK(serving.server.write(serving.last, piece) == APPSERVER_OK);
  CHECK(serving.server.finish(serving.last) == APPSERVER_OK);
  REQUIRE(serving.gets_whole_chunks(client));
  CHECK(unpack(chunks_of(body_of(client.received)).data).text.size() == (taken + 1) * piece.size());
}

TEST_CASE("streams beyond those that may be compressed go as they are, until some have ended") {
  Compressing serving;
  std::vector<Client> clients;
  for (std::size_t i = 0; i <= net::HttpServer::kMostCoders; ++i) {
    clients.push_back(serving.connect());
    clients.back().send(get("/stream", kTakes));
    REQUIRE(serving.has_seen(i + 1));
    REQUIRE(serving.until([&] { return clients.back().read_once(); }));
    CHECK(clients.back().got("Content-Encoding") == (i < net::HttpServer::kMostCoders));
  }
  CHECK(serving.page.uncompressed.get() == 1);
  // One is cut in its midst: its state is free for another.
  CHECK(serving.server.abort(serving.script.seen.front()) == APPSERVER_OK);
  REQUIRE(serving.closes(clients.front()));
  Client next = serving.connect();
  next.send(get("/stream", kTakes));
  REQUIRE(serving.until([&] { return next.read_once(); }));
  CHECK(next.got("Content-Encoding: gzip"));
}
