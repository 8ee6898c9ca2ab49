/* Facts about a connection under TLS, for the extensions that have connections. Rules and tags as
 * in abi.h.
 */
#ifndef APPSERVER_ABI_TLS_H
#define APPSERVER_ABI_TLS_H

#include <appserver/abi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The host's; valid for as long as the struct that points to it. */
typedef struct appserver_tls_info {
  uint32_t size;
  uint32_t reserved;
  appserver_str version;     /* "TLSv1.2", "TLSv1.3" */
  appserver_str cipher;      /* as IANA calls it, of TLS 1.2 as OpenSSL does */
  appserver_str alpn;        /* "http/1.1"; empty: none was agreed on */
  appserver_str server_name; /* that the client asked for (SNI); empty without one */
  /* Of a certificate that the client has shown, and that client_ca has signed; else empty. */
  appserver_str client_subject;     /* RFC 2253: "CN=alice,O=Example" */
  appserver_str client_fingerprint; /* SHA-256 of the certificate, 64 digits of lower-case hex */
} appserver_tls_info;

#ifdef __cplusplus
}
#endif

#endif
