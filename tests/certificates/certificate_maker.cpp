#include "certificate_maker.hpp"

#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <array>
#include <ctime>

#include "certificates/pem.hpp"

namespace appserver::test {
namespace {

using certificates::Bio;
using certificates::Certificate;
using certificates::Key;

void require(bool ok, const char* what) {
  if (!ok) certificates::throw_error(what);
}

std::string text_of(const Bio& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, static_cast<std::size_t>(size));
}

Bio memory() {
  Bio bio(BIO_new(BIO_s_mem()));
  require(bio != nullptr, "BIO_new");
  return bio;
}

std::string pem_of(X509* certificate) {
  const Bio bio = memory();
  require(PEM_write_bio_X509(bio.get(), certificate) == 1, "PEM_write_bio_X509");
  return text_of(bio);
}

std::string pem_of(EVP_PKEY* key) {
  const Bio bio = memory();
  require(PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
          "PEM_write_bio_PrivateKey");
  return text_of(bio);
}

Key make_key() {
  Key key(EVP_EC_gen("P-256"));
  require(key != nullptr, "EVP_EC_gen");
  return key;
}

void add_extension(X509* certificate, X509* issuer, int what, const std::string& value) {
  X509V3_CTX context{};
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, &context, what, value.c_str());
  require(extension != nullptr, "X509V3_EXT_conf_nid");
  const int added = X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
  require(added == 1, "X509_add_ext");
}

Certificate begin(const std::string& common_name, EVP_PKEY* key, int from_day, int to_day) {
  Certificate made(X509_new());
  require(made != nullptr, "X509_new");
  X509_set_version(made.get(), X509_VERSION_3);
  std::array<unsigned char, 8> serial{};
  require(RAND_bytes(serial.data(), static_cast<int>(serial.size())) == 1, "RAND_bytes");
  serial[0] &= 0x7f;
  BIGNUM* const number = BN_bin2bn(serial.data(), static_cast<int>(serial.size()), nullptr);
  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(made.get()));
  BN_free(number);
  constexpr long kDay = 86'400;
  X509_gmtime_adj(X509_getm_notBefore(made.get()), from_day * kDay);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), to_day * kDay);
  X509_set_pubkey(made.get(), key);
  const auto* const name = reinterpret_cast<const unsigned char*>(common_name.c_str());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8, name, -1, -1,
                             0);
  return made;
}

}  // namespace

Authority::Authority(const std::string& common_name) : key_(make_key()) {
  certificate_ = begin(common_name, key_.get(), -1, 365);
  X509* const raw = certificate_.get();
  X509_set_issuer_name(raw, X509_get_subject_name(raw));
  add_extension(raw, raw, NID_basic_constraints, "critical,CA:TRUE");
  add_extension(raw, raw, NID_key_usage, "critical,keyCertSign,cRLSign");
  add_extension(raw, raw, NID_subject_key_identifier, "hash");
  require(X509_sign(raw, key_.get(), EVP_sha256()) > 0, "X509_sign");
  pem_ = pem_of(raw);
}

Made Authority::issue(const Wanted& wanted) const {
  const Key key = make_key();
  const Certificate made = begin(wanted.common_name, key.get(), wanted.from_day, wanted.to_day);
  X509_set_issuer_name(made.get(), X509_get_subject_name(certificate_.get()));
  std::string names;
  for (const std::string& name : wanted.names) {
    names += fmt::format("{}{}{}", names.empty() ? "" : ",",
                         name.starts_with("IP:") ? "" : "DNS:", name);
  }
  X509* const issuer = certificate_.get();
  add_extension(made.get(), issuer, NID_basic_constraints, "critical,CA:FALSE");
  add_extension(made.get(), issuer, NID_authority_key_identifier, "keyid");
  add_extension(made.get(), issuer, NID_ext_key_usage, "serverAuth,clientAuth");
  if (!names.empty()) add_extension(made.get(), issuer, NID_subject_alt_name, names);
  require(X509_sign(made.get(), key_.get(), EVP_sha256()) > 0, "X509_sign");
  return {pem_of(made.get()), pem_of(key.get())};
}

std::string sha256_of(const std::string& certificate_pem) {
  const auto parsed = certificates::read_certificates(certificate_pem);
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  require(X509_digest(parsed.front().get(), EVP_sha256(), digest.data(), &size) == 1,
          "X509_digest");
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace appserver::test
