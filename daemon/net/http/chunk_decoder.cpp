#include "net/http/chunk_decoder.hpp"

#include <algorithm>

#include "net/http/grammar.hpp"

namespace appserver::net::http {

namespace {

constexpr std::size_t kMaxExtensionLine = 4096;
constexpr std::uint8_t kMaxDigits = 16;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

ChunkDecoder::Result ChunkDecoder::decode(std::string_view input, std::size_t& consumed,
                                          std::string& out) {
  consumed = 0;
  while (consumed < input.size() && state_ != State::done && state_ != State::refused) {
    if (state_ == State::data) {
      consumed += take_data(input.substr(consumed), out);
    } else if (step(input[consumed])) {
      ++consumed;
    }
  }
  if (state_ == State::refused) return Result::refused;
  return state_ == State::done ? Result::complete : Result::need_more;
}

bool ChunkDecoder::refuse(unsigned status, std::string_view reason) {
  refusal_ = {status, reason};
  state_ = State::refused;
  return false;
}

bool ChunkDecoder::go(State next) {
  state_ = next;
  return true;
}

std::size_t ChunkDecoder::take_data(std::string_view input, std::string& out) {
  const auto piece =
      input.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(size_, input.size())));
  out.append(piece);
  size_ -= piece.size();
  if (size_ == 0) state_ = State::data_cr;
  return piece.size();
}

bool ChunkDecoder::step(char c) {
  switch (state_) {
    case State::size_first:
    case State::size:
      return step_size(c);
    case State::extension_name_first:
    case State::extension_name:
    case State::extension_value_first:
    case State::extension_value:
    case State::quoted:
    case State::quoted_pair:
    case State::quoted_end:
      return step_extension(c);
    case State::size_lf:
      return begin_chunk(c);
    case State::data_cr:
    case State::data_lf:
      return step_data_end(c);
    case State::trailer_first:
    case State::trailer_name:
    case State::trailer_value:
    case State::trailer_lf:
    case State::last_lf:
      return step_trailer(c);
    case State::data:
    case State::done:
    case State::refused:
      break;
  }
  return false;
}

bool ChunkDecoder::step_size(char c) {
  if (const int value = hex_value(c); value >= 0) {
    if (++digits_ > kMaxDigits) return malformed_size();
    size_ = size_ * 16 + static_cast<std::uint64_t>(value);
    return go(State::size);
  }
  if (state_ == State::size_first) return malformed_size();
  if (c == '\r') return go(State::size_lf);
  if (c == ';') return go(State::extension_name_first);
  return malformed_size();
}

bool ChunkDecoder::step_extension(char c) {
  ++line_;
  ++extensions_;
  if (line_ > kMaxExtensionLine || extensions_ > limits_.max_head) {
    return refuse(400, "the chunk extensions are too large");
  }
  switch (state_) {
    case State::extension_name_first:
      return is_token_char(c) ? go(State::extension_name) : malformed_extension();
    case State::extension_name:
      if (is_token_char(c)) return true;
      return c == '=' ? go(State::extension_value_first) : after_extension_part(c);
    case State::extension_value_first:
      if (c == '"') return go(State::quoted);
      return is_token_char(c) ? go(State::extension_value) : malformed_extension();
    case State::extension_value:
      return is_token_char(c) || after_extension_part(c);
    case State::quoted_end:
      return after_extension_part(c);
    default:
      return step_quoted(c);
  }
}

bool ChunkDecoder::step_quoted(char c) {
  if (!is_value_char(c)) return malformed_extension();
  if (state_ == State::quoted_pair) return go(State::quoted);
  if (c == '"') return go(State::quoted_end);
  return c == '\\' ? go(State::quoted_pair) : true;
}

bool ChunkDecoder::after_extension_part(char c) {
  if (c == ';') return go(State::extension_name_first);
  return c == '\r' ? go(State::size_lf) : malformed_extension();
}

bool ChunkDecoder::begin_chunk(char c) {
  if (c != '\n') return malformed_size();
  digits_ = 0;
  line_ = 0;
  if (size_ == 0) return go(State::trailer_first);
  if (size_ > limits_.max_body - received_) return refuse(413, "the request body is too large");
  received_ += size_;
  return go(State::data);
}

bool ChunkDecoder::step_data_end(char c) {
  if (state_ == State::data_cr && c == '\r') return go(State::data_lf);
  if (state_ == State::data_lf && c == '\n') return go(State::size_first);
  return refuse(400, "a chunk is not as long as its size says");
}

bool ChunkDecoder::step_trailer(char c) {
  if (++trailer_ > limits_.max_head) return refuse(431, "the trailer is too large");
  switch (state_) {
    case State::trailer_first:
      return begin_trailer_line(c);
    case State::trailer_name:
      if (is_token_char(c)) return true;
      return c == ':' ? go(State::trailer_value) : malformed_trailer();
    case State::trailer_value:
      if (is_value_char(c)) return true;
      return c == '\r' ? go(State::trailer_lf) : malformed_trailer();
    case State::trailer_lf:
      return c == '\n' ? go(State::trailer_first) : malformed_trailer();
    default:
      return c == '\n' ? go(State::done) : malformed_trailer();
  }
}

bool ChunkDecoder::begin_trailer_line(char c) {
  if (c == '\r') return go(State::last_lf);
  if (!is_token_char(c)) return malformed_trailer();
  if (++trailer_fields_ > limits_.max_fields) return refuse(431, "the trailer has too many fields");
  return go(State::trailer_name);
}

}  // namespace appserver::net::http
