#include <catch2/catch.hpp>

#include "support.hpp"

using namespace appserver::config;

namespace {

constexpr const char* kListen = "    listen: https://*:443\n";

std::string with_tls(const std::string& tls) { return kListen + ("    tls: " + tls + "\n"); }

}  // namespace

TEST_CASE("a group under TLS names a certificate and its key, from its file's folder") {
  const Group group = load_group(with_tls("{certificate: tls/a.pem, key: /etc/a.key}"));
  REQUIRE(group.tls.is_used());
  CHECK(group.tls == Tls{{{"/srv/tls/a.pem", "/etc/a.key"}}, {}, {}, TlsVersion::v1_2, {}});
  CHECK_FALSE(load_group("").tls.is_used());
}

TEST_CASE("several certificates are a list, the first of them the default") {
  const Group group = load_group(with_tls(
      "{certificates: [{certificate: a.pem, key: a.key}, {certificate: b.pem, key: b.key}], "
      "client_certificates: required, client_ca: ca.pem, min_version: 1.3}"));
  CHECK(group.tls == Tls{{{"/srv/a.pem", "/srv/a.key"}, {"/srv/b.pem", "/srv/b.key"}},
                         ClientCertificates::required,
                         "/srv/ca.pem",
                         TlsVersion::v1_3,
                         {}});
}

TEST_CASE("TLS without a certificate, and a certificate without TLS, are mistakes") {
  CHECK(group_problems("    listen: ['http://*:80', 'text+tls://*:443']\n") ==
        Lines{"app.yaml:4:5: groups.api: text+tls://*:443 needs a certificate; add tls: "
              "{certificate: FILE.pem, key: FILE.pem} to the group"});
  CHECK(group_problems("    listen: http://*:80\n    tls: {certificate: a, key: b}\n") ==
        Lines{"app.yaml:5:5: groups.api.tls: no address of the group is under TLS; listen on "
              "https://, wss://, tls://, text+tls:// or frame+tls://, or leave 'tls' out"});
}

TEST_CASE("what is missing or too much in tls is named") {
  CHECK(group_problems(with_tls("{certificate: a.pem}")) ==
        Lines{"app.yaml:5:10: groups.api.tls: 'key' is missing; add key: FILE.pem"});
  CHECK(group_problems(with_tls("{certificates: [{key: a.key}]}")) ==
        Lines{"app.yaml:5:26: groups.api.tls.certificates[0]: 'certificate' is missing; add "
              "certificate: FILE.pem"});
  CHECK(group_problems(with_tls("{certificates: []}")) ==
        Lines{"app.yaml:5:11: groups.api.tls.certificates is empty: give at least one certificate, "
              "as - {certificate: FILE.pem, key: FILE.pem}"});
  CHECK(group_problems(with_tls("{certificate: a, key: b, certificates: "
                                "[{certificate: a, key: b}]}"))
            .size() == 1);
  CHECK(group_problems(with_tls("{certificate: a, key: b, client_certificates: required}")) ==
        Lines{"app.yaml:5:10: groups.api.tls: client_certificates: required needs client_ca: "
              "FILE.pem, whose authorities sign them"});
  CHECK(group_problems(with_tls("{certificate: a, key: b, client_ca: c}")) ==
        Lines{"app.yaml:5:35: groups.api.tls.client_ca: clients are not asked for certificates; "
              "add client_certificates: required (or optional)"});
  CHECK(group_problems(with_tls("{certificate: a, key: b, min_version: 1.1}")).size() == 1);
  CHECK(group_problems(with_tls("{certificate: a, key: b, ciphers: x}")).size() == 1);
}

TEST_CASE("tls is dumped so that it reads back as it is") {
  const std::string lines = with_tls(
      "{certificates: [{certificate: 'a b.pem', key: a.key}], client_certificates: optional, "
      "client_ca: ca.pem, min_version: 1.3}");
  const Config config = load_yaml("groups:\n  api:\n    plugin: hello\n" + lines);
  CHECK(load_yaml(dump(config)).groups == config.groups);
}
