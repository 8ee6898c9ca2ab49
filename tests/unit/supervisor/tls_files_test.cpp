#include "supervisor/tls_files.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "certificates/material.hpp"
#include "os/memfd.hpp"
#include "tls_site.hpp"

using namespace appserver;
using namespace appserver::supervisor;
using namespace appserver::supervisor::test;
using Catch::Contains;
namespace fs = std::filesystem;

TEST_CASE("certificates and keys are read, checked, and sealed for the workers") {
  Files files;
  files.write("ca.pem", files.authority.certificate());
  files.tls.client_certificates = config::ClientCertificates::required;
  files.tls.client_ca = files.path("ca.pem");
  const TlsMaterialPtr material = load_tls(files.tls);
  CHECK(material->warnings.empty());
  CHECK(material->files == look_at(files.tls));
  const auto decoded =
      certificates::decode(os::read_sealed_memfd(material->file.get(), certificates::kMaxMaterial));
  REQUIRE(decoded.identities.size() == 1);
  std::ifstream key(files.path("a.key"), std::ios::binary);
  CHECK(decoded.identities.front().key == std::string((std::istreambuf_iterator<char>(key)), {}));
  CHECK(decoded.client_authorities == files.authority.certificate());
}

TEST_CASE("files that are no good are refused by their names") {
  Files files;
  files.write("a.key", files.authority.issue({}).key);
  CHECK_THROWS_WITH(load_tls(files.tls), "the key " + files.path("a.key").native() +
                                             " is not that of the certificate " +
                                             files.path("a.pem").native());
  files.write("a.key", "nothing");
  CHECK_THROWS_WITH(load_tls(files.tls), files.path("a.key").native() +
                                             " has no private key in PEM (BEGIN PRIVATE KEY)");
  files.write("a.pem", "nothing");
  CHECK_THROWS_WITH(load_tls(files.tls), files.path("a.pem").native() +
                                             " has no certificate in PEM (BEGIN CERTIFICATE)");
  fs::remove(files.path("a.pem"));
  CHECK_THROWS_WITH(load_tls(files.tls),
                    "open(" + files.path("a.pem").native() + "): No such file or directory");
  fs::create_directory(files.path("a.pem"));
  CHECK_THROWS_WITH(load_tls(files.tls), files.path("a.pem").native() + " is no regular file");

  Files other;
  other.tls.client_ca = other.path("a.key");
  CHECK_THROWS_WITH(load_tls(other.tls), Contains("a.key has no certificate in PEM"));
  config::Group group;
  group.name = "api";
  group.tls = other.tls;
  CHECK_THROWS_WITH(load_tls_of(group), Contains("groups.api.tls: "));
  group.tls = {};
  CHECK(load_tls_of(group) == nullptr);
}

TEST_CASE("what works but should not stay so is a warning") {
  Files files;
  appserver::test::Wanted old;
  old.from_day = -30;
  old.to_day = -1;
  files.put("a", files.authority.issue(old));
  fs::permissions(files.path("a.key"), fs::perms::others_read, fs::perm_options::add);
  const TlsMaterialPtr material = load_tls(files.tls);
  REQUIRE(material->warnings.size() == 2);
  CHECK_THAT(material->warnings[0], Contains("a.pem has expired on "));
  CHECK_THAT(material->warnings[1], Contains("a.key can be read or written by everybody"));
}

TEST_CASE("a changed, replaced or missing file is told from the one that was read") {
  Files files;
  const TlsMaterialPtr material = load_tls(files.tls);
  CHECK(look_at(files.tls) == material->files);
  fs::copy_file(files.path("a.key"), files.path("b.key"));
  fs::rename(files.path("b.key"), files.path("a.key"));
  CHECK(look_at(files.tls) != material->files);
  fs::remove(files.path("a.key"));
  CHECK(look_at(files.tls) != material->files);
}

TEST_CASE("a file that only was given other rights may be another one to us") {
  Files files;
  const auto before = look_at(files.tls);
  fs::permissions(files.path("a.key"), fs::perms::none);
  CHECK(look_at(files.tls) != before);
}
