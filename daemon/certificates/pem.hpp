// Certificates and keys from PEM (RFC 7468). All throw std::runtime_error that says what is wrong
// with the text, without the name of the file that it came from.
#pragma once

#include <string_view>
#include <vector>

#include "certificates/openssl.hpp"

namespace appserver::certificates {

// One or more, in their order; other blocks, such as a key in the same file, are passed over.
std::vector<Certificate> read_certificates(std::string_view pem);

// The first one of the text; not one under a passphrase.
Key read_key(std::string_view pem);

// As OpenSSL's security level 2 asks for: keys of RSA from 2048 bits, no signature by SHA-1 but a
// root's own.
void require_strength(X509& certificate);

void require_fit(const X509& certificate, const EVP_PKEY& key);

}  // namespace appserver::certificates
