#include "gateway/handshake.hpp"

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <stdexcept>
#include <utility>

namespace appserver::gateway {
namespace {

constexpr std::string_view kMagic{"APPSLINK", 8};
constexpr std::size_t kVersionAt = kMagic.size();
constexpr std::size_t kRoleAt = kVersionAt + 2;
constexpr char kWelcome = 1;
constexpr char kWrongSecret = 2;

std::string_view label_of(Role role) {
  return role == Role::gateway ? "appserverd link, the gateway's proof"
                               : "appserverd link, the business worker's proof";
}

std::string make_opening(Role role, const Handshake::Nonce& nonce) {
  std::string opening(kMagic);
  opening += static_cast<char>(Handshake::kVersion >> 8);
  opening += static_cast<char>(Handshake::kVersion & 0xff);
  opening += static_cast<char>(role);
  opening.append(nonce.begin(), nonce.end());
  return opening;
}

unsigned version_of(std::string_view opening) {
  return static_cast<unsigned>(static_cast<unsigned char>(opening[kVersionAt])) << 8 |
         static_cast<unsigned char>(opening[kVersionAt + 1]);
}

Role other(Role role) { return role == Role::gateway ? Role::business : Role::gateway; }

}  // namespace

Handshake::Nonce Handshake::fresh_nonce() {
  Nonce nonce{};
  if (RAND_bytes(nonce.data(), static_cast<int>(nonce.size())) != 1)
    throw std::runtime_error("the system gives no random bytes");
  return nonce;
}

Handshake::Handshake(Role own, std::string_view secret, const Nonce& nonce)
    : own_(own), secret_(secret), own_opening_(make_opening(own, nonce)) {}

std::size_t Handshake::wanted() const {
  switch (awaited_) {
    case Awaited::opening:
      return kOpening;
    case Awaited::verdict:
      return 1;
    case Awaited::proof:
    case Awaited::rest_of_verdict:
      break;
  }
  return kProof;
}

Handshake::State Handshake::take(std::string& received, std::string& out) {
  while (state_ == State::going && received.size() >= wanted()) {
    const std::string message = received.substr(0, wanted());
    received.erase(0, message.size());
    state_ = step(message, out);
  }
  // A stranger's first bytes show already that it speaks something else.
  const std::string_view begun = std::string_view(received).substr(0, kMagic.size());
  if (state_ == State::going && awaited_ == Awaited::opening &&
      begun != kMagic.substr(0, begun.size()))
    state_ = fail("it does not speak the protocol of a link");
  return state_;
}

Handshake::State Handshake::step(std::string_view message, std::string& out) {
  switch (awaited_) {
    case Awaited::opening:
      return take_opening(message, out);
    case Awaited::proof:
      return take_proof(message, out);
    case Awaited::verdict:
      return take_verdict(message);
    case Awaited::rest_of_verdict:
      break;
  }
  return is_proof(message) ? State::done
                           : fail(
                                 "it could not prove that it knows the secret of this side: "
                                 "secret_file differs, or it is somebody else");
}

Handshake::State Handshake::take_opening(std::string_view message, std::string& out) {
  if (!message.starts_with(kMagic)) return fail("it does not speak the protocol of a link");
  // The peer is to learn of our version, too.
  if (own_ == Role::gateway) out += own_opening_;
  if (version_of(message) != kVersion) {
    return fail(fmt::format(
        "it speaks version {} of the link's handshake, this side {}: run the same release of "
        "appserverd at both ends",
        version_of(message), kVersion));
  }
  if (message[kRoleAt] != static_cast<char>(other(own_))) {
    return fail(own_ == Role::gateway ? "it is no business worker" : "it is no gateway worker");
  }
  peer_opening_ = message;
  awaited_ = own_ == Role::gateway ? Awaited::proof : Awaited::verdict;
  if (own_ == Role::business) out += proof_of(own_);
  return State::going;
}

Handshake::State Handshake::take_proof(std::string_view message, std::string& out) {
  if (!is_proof(message)) {
    out += kWrongSecret;
    return fail(
        "it does not know the secret of this side: secret_file differs, or it is "
        "somebody else");
  }
  out += kWelcome;
  out += proof_of(own_);
  return State::done;
}

Handshake::State Handshake::take_verdict(std::string_view message) {
  if (message.front() == kWrongSecret)
    return fail("it refused the secret of this side: secret_file differs");
  if (message.front() != kWelcome) return fail("it broke the rules of the handshake");
  awaited_ = Awaited::rest_of_verdict;
  return State::going;
}

std::string Handshake::proof_of(Role role) const {
  std::string text(label_of(role));
  text += '\0';
  text += role == own_ ? own_opening_ : peer_opening_;
  text += role == own_ ? peer_opening_ : own_opening_;
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(),
           &size) == nullptr ||
      size != kProof)
    throw std::runtime_error("HMAC-SHA256 failed");
  return {reinterpret_cast<const char*>(digest.data()), size};
}

bool Handshake::is_proof(std::string_view message) const {
  const std::string good = proof_of(other(own_));
  return message.size() == good.size() &&
         CRYPTO_memcmp(message.data(), good.data(), good.size()) == 0;
}

Handshake::State Handshake::fail(std::string why) {
  why_ = std::move(why);
  return State::failed;
}

}  // namespace appserver::gateway
