#include <catch2/catch.hpp>
#include <chrono>
#include <string>
#include <vector>

#include "net/http/response_writer.hpp"

using namespace appserver::net::http;
using namespace std::string_literals;

namespace {

constexpr auto kTime = std::chrono::sys_days(std::chrono::year(1994) / 11 / 6) +
                       std::chrono::hours(8) + std::chrono::minutes(49) + std::chrono::seconds(37);
const std::string kDate = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

appserver_str str(std::string_view text) { return {text.data(), text.size()}; }

appserver_header header(std::string_view name, std::string_view value) {
  return {str(name), str(value)};
}

// An answer that owns its header array.
struct Answer {
  Answer(unsigned status, std::string_view body, std::vector<appserver_header> fields = {})
      : headers(std::move(fields)) {
    response.size = sizeof(response);
    response.status = status;
    response.headers = headers.data();
    response.header_count = static_cast<std::uint32_t>(headers.size());
    response.header_stride = sizeof(appserver_header);
    response.body = str(body);
  }
  std::vector<appserver_header> headers;
  appserver_http_response response{};
};

const AnswerTo kKeep{11, true, false};
const AnswerTo kClose{11, false, false};
const AnswerTo kHead{11, true, true};
const AnswerTo kKeepOld{10, true, false};
const AnswerTo kCloseOld{10, false, false};

std::string written(const Answer& answer, const AnswerTo& request) {
  std::string out = "before|";
  write_response(out, DateCache(kTime), answer.response, request);
  REQUIRE(out.starts_with("before|"));
  return out.substr(7);
}

std::int32_t validity(std::string_view name, std::string_view value = "v") {
  return validate(Answer(200, "", {header(name, value)}).response);
}

}  // namespace

TEST_CASE("an answer has a status line, Date, its headers, Content-Length and its body") {
  const Answer answer(200, "hello", {header("Content-Type", "text/plain"), header("X-Empty", "")});
  CHECK(written(answer, kKeep) ==
        "HTTP/1.1 200 OK\r\n"s + kDate +
            "Content-Type: text/plain\r\nX-Empty: \r\nContent-Length: 5\r\n\r\nhello");
  CHECK(written(Answer(404, ""), kKeep) ==
        "HTTP/1.1 404 Not Found\r\n"s + kDate + "Content-Length: 0\r\n\r\n");
}

TEST_CASE("an answer tells HTTP/1.0 that a connection is kept, and anyone that it is closed") {
  CHECK(written(Answer(200, ""), kKeep).find("Connection") == std::string::npos);
  CHECK(written(Answer(200, ""), kClose).find("\r\nConnection: close\r\n") != std::string::npos);
  CHECK(written(Answer(200, ""), kKeepOld).find("\r\nConnection: keep-alive\r\n") !=
        std::string::npos);
  CHECK(written(Answer(200, ""), kCloseOld).find("\r\nConnection: close\r\n") != std::string::npos);
}

TEST_CASE("an answer to HEAD tells the length of the body that it leaves out") {
  CHECK(written(Answer(200, "hello"), kHead) ==
        "HTTP/1.1 200 OK\r\n"s + kDate + "Content-Length: 5\r\n\r\n");
}

TEST_CASE("204 and 304 have neither body nor length, 205 a length of zero") {
  CHECK(written(Answer(204, "x"), kKeep) == "HTTP/1.1 204 No Content\r\n"s + kDate + "\r\n");
  CHECK(written(Answer(304, "x"), kKeep) == "HTTP/1.1 304 Not Modified\r\n"s + kDate + "\r\n");
  CHECK(written(Answer(205, "x"), kKeep) ==
        "HTTP/1.1 205 Reset Content\r\n"s + kDate + "Content-Length: 0\r\n\r\n");
}

TEST_CASE("header arrays with larger elements are walked by their stride") {
  struct Larger {
    appserver_header header;
    void* later_addition;
  };
  const std::vector<Larger> fields = {{header("A", "1"), nullptr}, {header("B", "2"), nullptr}};
  Answer answer(200, "");
  answer.response.headers = &fields[0].header;
  answer.response.header_count = 2;
  answer.response.header_stride = sizeof(Larger);
  REQUIRE(validate(answer.response) == APPSERVER_OK);
  CHECK(written(answer, kKeep).find("\r\nA: 1\r\nB: 2\r\n") != std::string::npos);
}

TEST_CASE("a streamed answer is framed as its length, the version and the method allow") {
  const auto head = [](unsigned status, std::int64_t length, const AnswerTo& request,
                       BodyMode expected) {
    std::string out;
    CHECK(write_stream_head(out, DateCache(kTime), Answer(status, "ignored").response, length,
                            request) == expected);
    REQUIRE(out.ends_with("\r\n\r\n"));
    return out.substr(out.find(kDate) + kDate.size());
  };
  CHECK(head(200, 7, kKeep, BodyMode::sized) == "Content-Length: 7\r\n\r\n");
  CHECK(head(200, 0, kKeep, BodyMode::sized) == "Content-Length: 0\r\n\r\n");
  CHECK(head(200, -1, kKeep, BodyMode::chunked) == "Transfer-Encoding: chunked\r\n\r\n");
  CHECK(head(200, -1, kClose, BodyMode::chunked) ==
        "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
  CHECK(head(200, 7, kKeepOld, BodyMode::sized) ==
        "Content-Length: 7\r\nConnection: keep-alive\r\n\r\n");
  CHECK(head(200, -1, kKeepOld, BodyMode::until_close) == "Connection: close\r\n\r\n");
  CHECK(head(200, 7, kHead, BodyMode::none) == "Content-Length: 7\r\n\r\n");
  CHECK(head(200, -1, kHead, BodyMode::none) == "Transfer-Encoding: chunked\r\n\r\n");
  CHECK(head(204, 7, kKeep, BodyMode::none) == "\r\n");
  CHECK(head(204, -1, kKeepOld, BodyMode::none) == "Connection: keep-alive\r\n\r\n");
  CHECK(head(304, -1, kKeep, BodyMode::none) == "\r\n");
  CHECK(head(205, 7, kKeep, BodyMode::none) == "Content-Length: 0\r\n\r\n");
}

TEST_CASE("chunks carry their size in hex, and an empty piece writes none") {
  std::string out;
  append_chunk(out, std::string(26, 'x'));
  append_chunk(out, "");
  append_last_chunk(out);
  CHECK(out == "1a\r\n"s + std::string(26, 'x') + "\r\n0\r\n\r\n");
}

TEST_CASE("an answer whose headers would frame the message is invalid") {
  for (const auto* name : {"Content-Length", "content-length", "Transfer-Encoding", "CONNECTION",
                           "Date", "Keep-Alive", "Upgrade", "TE", "Trailer"}) {
    INFO(name);
    CHECK(validity(name) == APPSERVER_INVALID);
  }
  for (const auto* name :
       {"Content-Type", "Set-Cookie", "X-Date", "Server", "Content-Lengt", "XX"}) {
    INFO(name);
    CHECK(validity(name) == APPSERVER_OK);
  }
}

TEST_CASE("an answer whose headers would split the message is invalid") {
  CHECK(validity("") == APPSERVER_INVALID);
  CHECK(validity("A B") == APPSERVER_INVALID);
  CHECK(validity("A:") == APPSERVER_INVALID);
  CHECK(validity("A\r\nB") == APPSERVER_INVALID);
  CHECK(validity("A", "a\r\nSet-Cookie: b") == APPSERVER_INVALID);
  CHECK(validity("A", "a\rb") == APPSERVER_INVALID);
  CHECK(validity("A", "a\nb") == APPSERVER_INVALID);
  CHECK(validity("A", "a\0b"s) == APPSERVER_INVALID);
  CHECK(validity("A", "") == APPSERVER_OK);
  CHECK(validity("A", "\t\xc3\xbc") == APPSERVER_OK);
}

TEST_CASE("an answer is invalid with a status outside 200..599 or a struct that cannot be read") {
  for (const auto status : {0u, 100u, 199u, 600u, 1000u})
    CHECK(validate(Answer(status, "").response) == APPSERVER_INVALID);
  for (const auto status : {200u, 299u, 404u, 599u})
    CHECK(validate(Answer(status, "").response) == APPSERVER_OK);

  const auto changed = [](auto change) {
    Answer answer(200, "", {header("A", "b")});
    change(answer.response);
    return validate(answer.response);
  };
  CHECK(changed([](auto&) {}) == APPSERVER_OK);
  CHECK(changed([](auto& response) { response.size -= 1; }) == APPSERVER_INVALID);
  CHECK(changed([](auto& response) { response.headers = nullptr; }) == APPSERVER_INVALID);
  CHECK(changed([](auto& response) { response.header_stride = 8; }) == APPSERVER_INVALID);
  CHECK(changed([](auto& response) { response.header_stride += 1; }) == APPSERVER_INVALID);
  CHECK(changed([](auto& response) { response.body = {nullptr, 1}; }) == APPSERVER_INVALID);
  CHECK(changed([](auto& response) { response.body = {nullptr, 0}; }) == APPSERVER_OK);
}

TEST_CASE(
    "an error of the host is a line of text that closes the connection unless told otherwise") {
  std::string out;
  write_error(out, DateCache(kTime), 431, "the request head is too large");
  const std::string body = "431 Request Header Fields Too Large: the request head is too large\n";
  CHECK(out == "HTTP/1.1 431 Request Header Fields Too Large\r\n"s + kDate +
                   "Content-Type: text/plain; charset=utf-8\r\nContent-Length: "s +
                   std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n"s + body);
  out.clear();
  write_error(out, DateCache(kTime), 500, "", kHead);
  CHECK(out == "HTTP/1.1 500 Internal Server Error\r\n"s + kDate +
                   "Content-Type: text/plain; charset=utf-8\r\nContent-Length: 26\r\n\r\n");
}

TEST_CASE("the Date line follows the clock, also over leap days and years") {
  DateCache date(kTime);
  CHECK(date.line() == kDate);
  date.refresh(kTime + std::chrono::milliseconds(999));
  CHECK(date.line() == kDate);
  date.refresh(std::chrono::sys_days(std::chrono::year(2024) / 2 / 29) +
               std::chrono::seconds(86399));
  CHECK(date.line() == "Date: Thu, 29 Feb 2024 23:59:59 GMT\r\n");
  date.refresh(std::chrono::sys_days(std::chrono::year(2027) / 1 / 1));
  CHECK(date.line() == "Date: Fri, 01 Jan 2027 00:00:00 GMT\r\n");
}

TEST_CASE("every status has a phrase") {
  CHECK(reason_phrase(200) == "OK");
  CHECK(reason_phrase(511) == "Network Authentication Required");
  CHECK(reason_phrase(413) == "Content Too Large");
  CHECK(reason_phrase(299) == "OK");
  CHECK(reason_phrase(399) == "Redirection");
  CHECK(reason_phrase(499) == "Client Error");
  CHECK(reason_phrase(599) == "Server Error");
}
