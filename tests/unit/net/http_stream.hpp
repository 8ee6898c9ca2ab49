// Feeds bytes to a RequestReader the way a connection does, and writes down what came out.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/http/request_reader.hpp"

namespace appserver::net::http {

struct Reading {
  std::vector<std::string> requests;  // every field of each request as text
  Progress end = Progress::need_head;
  unsigned status = 0;  // of the refusal
  std::string reason;   // of the refusal
  bool closed =
      false;  // a request without keep-alive ended the reading; the rest was not looked at
  std::size_t rest = 0;  // bytes not consumed

  bool operator==(const Reading&) const = default;
};

inline std::string_view text_of(const appserver_str& text) {
  return text.size == 0 ? std::string_view() : std::string_view(text.data, text.size);
}

inline std::string describe(const Request& request) {
  const auto& view = request.view;
  std::string text = std::to_string(view.version);
  for (const auto& part : {view.method, view.target, view.path, view.query}) {
    text.append(" <").append(text_of(part)).append(">");
  }
  for (std::uint32_t i = 0; i < view.header_count; ++i) {
    text.append(" [").append(text_of(view.headers[i].name)).append("]");
    text.append("=[").append(text_of(view.headers[i].value)).append("]");
  }
  if (request.keep_alive) text.append(" keep-alive");
  if (request.head_method) text.append(" head");
  if (request.expects_continue) text.append(" expects");
  return text.append(" body<").append(text_of(view.body)).append(">");
}

// The stream of one connection. Each call of the reader sees its input in memory of exactly that
// size which is freed afterwards, so that a sanitizer notices every view that outlives it.
class Stream {
 public:
  explicit Stream(const RequestLimits& limits = {}) : reader_(limits) {}

  void feed(std::string_view piece) {
    if (piece.empty()) return;
    pending_.append(piece);
    while (!over() && turn()) {
    }
    reading_.rest = pending_.size();
  }

  const Reading& reading() const { return reading_; }
  RequestReader& reader() { return reader_; }

 private:
  bool over() const { return reading_.closed || reading_.end == Progress::refused; }

  // False when more bytes are needed.
  bool turn() {
    const auto input = std::make_unique<char[]>(pending_.size());
    pending_.copy(input.get(), pending_.size());
    std::size_t consumed = 0;
    reading_.end = reader_.read({input.get(), pending_.size()}, consumed);
    pending_.erase(0, consumed);
    if (reading_.end == Progress::refused) {
      reading_.status = reader_.refusal().status;
      reading_.reason = reader_.refusal().reason;
      pending_.clear();
    }
    if (reading_.end != Progress::complete) return false;
    reading_.requests.push_back(describe(reader_.request()));
    reading_.closed = !reader_.request().keep_alive;
    return !pending_.empty();
  }

  RequestReader reader_;
  std::string pending_;
  Reading reading_;
};

// Reads `bytes` in pieces that end at `cuts` (ascending). After a whole request with nothing behind
// it `end` is complete.
inline Reading read_in_pieces(std::string_view bytes, const std::vector<std::size_t>& cuts,
                              const RequestLimits& limits = {}) {
  Stream stream(limits);
  std::size_t at = 0;
  for (const auto cut : cuts) {
    stream.feed(bytes.substr(at, cut - at));
    at = cut;
  }
  stream.feed(bytes.substr(at));
  return stream.reading();
}

inline Reading read_whole(std::string_view bytes, const RequestLimits& limits = {}) {
  return read_in_pieces(bytes, {}, limits);
}

}  // namespace appserver::net::http
