// How two daemons' workers prove to each other that they know the same secret, before they say
// anything else. Pure: bytes in, bytes out; each message has a length that is known beforehand.
//
//   business worker                      gateway worker
//   opening: magic, version, role, nonce ->
//                                        <- opening
//   proof                                ->
//                                        <- verdict, and its proof where that is "welcome"
//
// A proof is HMAC-SHA256 with the secret over a label of the one who proves and both openings: what
// one side has said is no proof of the other, and what was said in one handshake is none in the
// next. Whoever dials proves first: a stranger who knocks learns nothing to try secrets against.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "gateway/link_message.hpp"

namespace appserver::gateway {

class Handshake final {
 public:
  static constexpr std::uint16_t kVersion = 1;
  static constexpr std::size_t kNonce = 32;
  static constexpr std::size_t kProof = 32;
  // Magic, version, role, nonce.
  static constexpr std::size_t kOpening = 8 + 2 + 1 + kNonce;
  // That one side reads of the other, at most.
  static constexpr std::size_t kMost = kOpening + 1 + kProof;

  using Nonce = std::array<unsigned char, kNonce>;
  // Throws std::runtime_error where the system has no random bytes.
  static Nonce fresh_nonce();

  // `secret` must stay until it is over.
  Handshake(Role own, std::string_view secret, const Nonce& nonce);

  enum class State { going, done, failed };
  // What this side says first.
  std::string begin() const { return own_opening_; }
  // Takes from the front of what has come what it understands, and appends what is to be said.
  State take(std::string& received, std::string& out);
  State state() const { return state_; }
  // How many bytes more it takes, with what has come and was not taken.
  std::size_t wanted() const;
  // Of one that has failed, for people.
  const std::string& why() const { return why_; }

 private:
  enum class Awaited { opening, proof, verdict, rest_of_verdict };

  State step(std::string_view message, std::string& out);
  State take_opening(std::string_view message, std::string& out);
  State take_proof(std::string_view message, std::string& out);
  State take_verdict(std::string_view message);
  std::string proof_of(Role role) const;
  bool is_proof(std::string_view message) const;
  State fail(std::string why);

  Role own_;
  std::string_view secret_;
  std::string own_opening_;
  std::string peer_opening_;
  Awaited awaited_ = Awaited::opening;
  State state_ = State::going;
  std::string why_;
};

}  // namespace appserver::gateway
