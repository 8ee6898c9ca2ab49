#include "net/http/request_reader.hpp"

#include <algorithm>
#include <functional>

namespace appserver::net::http {

namespace {

// RFC 9112 2.2 asks for at least one; old clients send one behind a POST's body.
constexpr std::uint8_t kMaxEmptyLines = 4;
constexpr std::size_t kKeptBody = 64 * 1024;

appserver_str to_abi(std::string_view text) { return {text.data(), text.size()}; }

}  // namespace

RequestReader::RequestReader(const RequestLimits& limits)
    : limits_(limits), scanner_(limits), decoder_(limits) {}

Progress RequestReader::read(std::string_view input, std::size_t& consumed) {
  consumed = 0;
  switch (stage_) {
    case Stage::complete:
      reset();
      break;
    case Stage::sized_body:
      return read_sized_body(input, consumed);
    case Stage::chunked_body:
      return read_chunked_body(input, consumed);
    case Stage::refused:
      return Progress::refused;
    case Stage::head:
      break;
  }
  return read_head(input, consumed);
}

bool RequestReader::wants_continue() {
  const bool in_body = stage_ == Stage::sized_body || stage_ == Stage::chunked_body;
  const bool wanted = in_body && continue_wanted_;
  if (wanted) continue_wanted_ = false;
  return wanted;
}

void RequestReader::reset() {
  scanner_.reset();
  decoder_.reset();
  head_ = {};
  headers_.clear();
  head_bytes_.clear();
  body_.clear();
  if (body_.capacity() > kKeptBody) body_ = std::string();
  request_ = {};
  refusal_ = {};
  body_received_ = 0;
  stage_ = Stage::head;
  empty_lines_ = 0;
  continue_wanted_ = false;
}

Progress RequestReader::refuse(const Refusal& refusal) {
  refusal_ = refusal;
  stage_ = Stage::refused;
  return Progress::refused;
}

Progress RequestReader::complete() {
  stage_ = Stage::complete;
  return Progress::complete;
}

bool RequestReader::skip_empty_lines(std::string_view& input, std::size_t& consumed) {
  while (input.starts_with("\r\n")) {
    if (++empty_lines_ > kMaxEmptyLines) return false;
    input.remove_prefix(2);
    consumed += 2;
  }
  return true;
}

Progress RequestReader::read_head(std::string_view input, std::size_t& consumed) {
  if (!skip_empty_lines(input, consumed)) {
    return refuse({400, "too many empty lines before a request"});
  }
  // A lone CR may become an empty line, which is not the scanner's.
  if (input.empty() || input == "\r") return Progress::need_head;

  const auto scanned = scanner_.scan(input);
  if (scanned == HeadScanner::Result::need_more) return Progress::need_head;
  if (scanned == HeadScanner::Result::refused) return refuse(scanner_.refusal());

  const auto head = input.substr(0, scanner_.head_size());
  if (const auto refusal = parse_head(head, limits_, head_, headers_)) return refuse(*refusal);
  make_view();
  consumed += head.size();
  return begin_body(head, input.substr(head.size()), consumed);
}

Progress RequestReader::begin_body(std::string_view head, std::string_view rest,
                                   std::size_t& consumed) {
  if (head_.framing == Framing::none) return complete();
  const bool sized = head_.framing == Framing::content_length;
  if (sized && rest.size() >= head_.content_length) {
    body_received_ = head_.content_length;
    request_.view.body = to_abi(rest.substr(0, static_cast<std::size_t>(head_.content_length)));
    consumed += request_.view.body.size;
    return complete();
  }

  continue_wanted_ = head_.expects_continue && rest.empty();
  stage_ = sized ? Stage::sized_body : Stage::chunked_body;
  std::size_t used = 0;
  const auto progress = sized ? read_sized_body(rest, used) : read_chunked_body(rest, used);
  consumed += used;
  if (progress == Progress::need_body) keep_head(head);
  return progress;
}

Progress RequestReader::read_sized_body(std::string_view input, std::size_t& consumed) {
  const auto left = head_.content_length - body_received_;
  consumed = static_cast<std::size_t>(std::min<std::uint64_t>(left, input.size()));
  // Room for what has come doubled, never at once for what the client only announced.
  const auto needed = body_.size() + consumed;
  if (needed > body_.capacity()) {
    body_.reserve(
        static_cast<std::size_t>(std::min<std::uint64_t>(head_.content_length, needed * 2)));
  }
  body_.append(input.substr(0, consumed));
  body_received_ += consumed;
  if (consumed > 0) continue_wanted_ = false;
  if (body_received_ < head_.content_length) return Progress::need_body;
  request_.view.body = to_abi(body_);
  return complete();
}

Progress RequestReader::read_chunked_body(std::string_view input, std::size_t& consumed) {
  const auto result = decoder_.decode(input, consumed, body_);
  body_received_ = body_.size();
  if (consumed > 0) continue_wanted_ = false;
  if (result == ChunkDecoder::Result::refused) return refuse(decoder_.refusal());
  if (result == ChunkDecoder::Result::need_more) return Progress::need_body;
  request_.view.body = to_abi(body_);
  return complete();
}

void RequestReader::make_view() {
  auto& view = request_.view;
  view.size = sizeof(view);
  view.version = head_.version;
  view.method = to_abi(head_.method);
  view.target = to_abi(head_.target);
  view.path = to_abi(head_.path);
  view.query = to_abi(head_.query);
  view.headers = headers_.data();
  view.header_count = static_cast<std::uint32_t>(headers_.size());
  view.header_stride = sizeof(appserver_header);
  request_.keep_alive = head_.keep_alive;
  request_.head_method = head_.method == "HEAD";
  request_.expects_continue = head_.expects_continue;
}

// The input goes away before the body is whole: the head moves into the reader, and every view of
// it with it.
void RequestReader::keep_head(std::string_view head) {
  head_bytes_.assign(head);
  const auto move = [&](appserver_str& text) {
    const std::less_equal<const char*> not_after;
    const bool inside =
        not_after(head.data(), text.data) && not_after(text.data, head.data() + head.size());
    if (inside) text.data = head_bytes_.data() + (text.data - head.data());
  };
  for (auto* text :
       {&request_.view.method, &request_.view.target, &request_.view.path, &request_.view.query}) {
    move(*text);
  }
  for (auto& header : headers_) {
    move(header.name);
    move(header.value);
  }
  head_.method = head_.target = head_.path = head_.query = {};
}

}  // namespace appserver::net::http
