// How an HttpConnection compresses its answers.
#include <algorithm>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "net/http/body_coder.hpp"
#include "net/http_connection.hpp"

namespace appserver::net {
namespace {

constexpr http::Coding kOnlyVaries{.varies = true};

}  // namespace

http::Coding HttpConnection::coding_for(const appserver_http_response& response,
                                        std::optional<std::uint64_t> length, bool streamed) const {
  const http::Coding coding =
      http::choose_coding(server_.limits_.compression, response, length, answer_to_.gzip);
  // Without chunks the length must be known, or the connection ends: a length is kept where there
  // is one.
  const bool in_pieces = streamed || length.value_or(0) > HttpServer::kCompressedATurn;
  if (coding.gzip && answer_to_.version < 11 && length && in_pieces) return kOnlyVaries;
  return coding;
}

bool HttpConnection::begin_coding() {
  if (server_.coders_ >= HttpServer::kMostCoders) return false;
  try {
    coder_ = std::make_unique<http::BodyCoder>(server_.limits_.compression.level);
  } catch (const std::bad_alloc&) {
    return false;
  }
  ++server_.coders_;
  return true;
}

void HttpConnection::end_coding() {
  if (!coder_) return;
  coder_.reset();
  --server_.coders_;
}

void HttpConnection::write_whole(const appserver_http_response& response) {
  const http::AnswerTo& request = current_answer_to();
  const http::Coding coding = coding_for(response, response.body.size, false);
  if (!coding.gzip || request.head_method) {
    http::write_response(out(), server_.date_, response, request, coding);
  } else if (response.body.size <= compress_left_) {
    write_compressed(response, coding);
  } else if (request.version >= 11 && begin_coding()) {
    body_mode_ = http::write_stream_head(out(), server_.date_, response, -1, request, coding);
    coder_->add({response.body.data, response.body.size});
    coder_->end();
    compress_waiting();
  } else {
    http::write_response(out(), server_.date_, response, request, kOnlyVaries);
  }
}

void HttpConnection::write_compressed(const appserver_http_response& response,
                                      const http::Coding& coding) {
  compress_left_ -= response.body.size;
  std::string& compressed = server_.compressed_;
  compressed.clear();
  Deflater* const gzip = server_.gzip();
  if (gzip != nullptr) {
    gzip->reset();
    gzip->append(compressed, {response.body.data, response.body.size}, Deflater::Flush::end);
  }
  if (gzip == nullptr || compressed.size() >= response.body.size) {
    http::write_response(out(), server_.date_, response, answer_to_, kOnlyVaries);
    return;
  }
  appserver_http_response coded = response;
  coded.body = {compressed.data(), compressed.size()};
  http::write_response(out(), server_.date_, coded, answer_to_, coding);
}

void HttpConnection::compress_waiting() {
  const std::size_t corked = in_turn_ ? server_.cork_.size() : 0;
  if (!coder_ || pending_output() + corked >= HttpServer::kMaxPendingOutput) return;
  std::string& compressed = server_.compressed_;
  compressed.clear();
  const std::size_t piece =
      server_.limits_.compression.level < 7 ? HttpServer::kPiece : HttpServer::kPieceAtHighLevels;
  compress_left_ -= coder_->run(compressed, std::min(compress_left_, piece));
  const bool chunked = body_mode_ == http::BodyMode::chunked;
  if (chunked) {
    http::append_chunk(out(), compressed);
  } else {
    out().append(compressed);
  }
  if (!coder_->is_done()) return;
  if (chunked) http::append_last_chunk(out());
  end_coding();
}

Deflater* HttpServer::gzip() {
  try {
    if (!gzip_) {
      gzip_ = std::make_unique<Deflater>(Deflater::Format::gzip, limits_.compression.level,
                                         Deflater::Size{});
    }
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return gzip_.get();
}

}  // namespace appserver::net
