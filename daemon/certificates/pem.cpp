#include "certificates/pem.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <stdexcept>

namespace appserver::certificates {
namespace {

// More than any chain or bundle of authorities has.
constexpr std::size_t kMostCertificates = 4096;

bool is_end_of_text() {
  const unsigned long error = ERR_peek_last_error();
  return ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
}

// Without one OpenSSL would ask at the terminal.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

}  // namespace

std::vector<Certificate> read_certificates(std::string_view pem) {
  ERR_clear_error();
  const Bio bio = read_from(pem);
  std::vector<Certificate> found;
  while (Certificate one{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    found.push_back(std::move(one));
    if (found.size() > kMostCertificates) throw std::runtime_error("has over 4096 certificates");
  }
  if (!is_end_of_text()) throw_error("has a certificate that cannot be read");
  ERR_clear_error();
  if (found.empty()) throw std::runtime_error("has no certificate in PEM (BEGIN CERTIFICATE)");
  return found;
}

Key read_key(std::string_view pem) {
  ERR_clear_error();
  const Bio bio = read_from(pem);
  bool asked = false;
  // Of a text without a block, the decoders say no more than that they know nothing of its kind.
  if (pem.find("PRIVATE KEY-----") == std::string_view::npos) {
    throw std::runtime_error("has no private key in PEM (BEGIN PRIVATE KEY)");
  }
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &asked));
  if (asked) {
    ERR_clear_error();
    throw std::runtime_error(
        "has a key under a passphrase, which nobody is there to give; decrypt it with "
        "\"openssl pkey\"");
  }
  if (!key) throw_error("has a private key that cannot be read");
  return key;
}

void require_strength(X509& certificate) {
  constexpr int kLeast = 112;
  const EVP_PKEY* const key = X509_get0_pubkey(&certificate);
  if (key == nullptr || EVP_PKEY_get_security_bits(key) < kLeast) {
    throw std::runtime_error(
        "has a certificate whose key is too weak; use RSA of 2048 bits or P-256");
  }
  const bool own =
      X509_NAME_cmp(X509_get_subject_name(&certificate), X509_get_issuer_name(&certificate)) == 0;
  int bits = 0;
  if (!own && X509_get_signature_info(&certificate, nullptr, nullptr, &bits, nullptr) == 1 &&
      bits < kLeast) {
    throw std::runtime_error("has a certificate whose signature is too weak; use SHA-256");
  }
}

void require_fit(const X509& certificate, const EVP_PKEY& key) {
  ERR_clear_error();
  if (X509_check_private_key(&certificate, &key) == 1) return;
  throw_error("the key is not that of the certificate");
}

}  // namespace appserver::certificates
