#include "supervisor/tls_files.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "certificates/material.hpp"
#include "os/memfd.hpp"
#include "tls_site.hpp"

using namespace appserver;
using namespace appserver::supervisor;
using namespace appserver::supervisor::test;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

appserver::test::Wanted of_days(int from, int to) {
  appserver::test::Wanted wanted;
  wanted.names = {"localhost"};
  wanted.from_day = from;
  wanted.to_day = to;
  return wanted;
}

appserver::test::Wanted expired() { return of_days(-30, -1); }

// What the workers get, as text.
std::vector<std::string> identities_of(const TlsMaterial& material) {
  std::vector<std::string> result;
  const auto decoded =
      certificates::decode(os::read_sealed_memfd(material.file.get(), certificates::kMaxMaterial));
  for (const auto& identity : decoded.identities) result.push_back(identity.chain + identity.key);
  return result;
}

}  // namespace

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
  CHECK_THROWS_WITH(load_tls_of(group, nullptr), Contains("groups.api.tls: "));
  group.tls = {};
  CHECK(load_tls_of(group, nullptr) == nullptr);
}

TEST_CASE("an expired certificate is served where nothing is in use") {
  Files files;
  files.put("a", files.authority.issue(expired()));
  fs::permissions(files.path("a.key"), fs::perms::others_read, fs::perm_options::add);
  config::Group group;
  group.tls = files.tls;
  for (const TlsMaterialPtr& material :
       {load_tls_of(group, nullptr), load_what_serves(files.tls, nullptr)}) {
    REQUIRE(material->certificates.size() == 1);
    CHECK(material->certificates[0].is_served);
    CHECK(material->certificates[0].problem.empty());
    REQUIRE(material->warnings.size() == 1);
    CHECK_THAT(material->warnings[0], Contains("a.key can be read or written by everybody"));
  }
}

TEST_CASE("a reload with an expired certificate is refused where a valid one is in use") {
  Files files;
  const TlsMaterialPtr in_use = load_tls(files.tls);
  files.put("a", files.authority.issue(expired()));
  config::Group group;
  group.name = "api";
  group.tls = files.tls;
  CHECK_THROWS_WITH(load_tls_of(group, in_use.get()),
                    Contains("groups.api.tls: the certificate ") &&
                        Contains("a.pem has expired on ") &&
                        Contains("and the one in use is valid until "));
  // Under another name of its file it is for the same clients; for others it is the only one.
  files.put("b", files.authority.issue(expired()));
  group.tls.certificates = {{files.path("b.pem"), files.path("b.key")}};
  CHECK_THROWS_WITH(load_tls_of(group, in_use.get()), Contains("b.pem has expired on "));
  appserver::test::Wanted of_another = expired();
  of_another.names = {"another.test"};
  files.put("b", files.authority.issue(of_another));
  CHECK(load_tls_of(group, in_use.get())->serves_any());
  // Nor is anything lost by one that has expired as well.
  files.put("a", files.authority.issue(expired()));
  const TlsMaterialPtr old = load_tls(files.tls);
  group.tls = files.tls;
  CHECK(load_tls_of(group, old.get())->serves_any());
}

TEST_CASE("a certificate that is not valid now leaves the valid one before it in use") {
  const bool too_early = GENERATE(true, false);
  Files files;
  const TlsMaterialPtr before = load_tls(files.tls);
  files.put("a", files.authority.issue(too_early ? of_days(1, 30) : expired()));
  const TlsMaterialPtr after = load_what_serves(files.tls, before.get());
  CHECK(identities_of(*after) == identities_of(*before));
  CHECK(after->as_before);
  CHECK(after->files == look_at(files.tls));
  const ServedCertificate& served = after->certificates.at(0);
  CHECK(served.is_served);
  CHECK(served.validity.to == before->certificates.at(0).validity.to);
  CHECK_THAT(served.problem,
             Contains(too_early ? "a.pem is not valid before " : "has expired on "));
  CHECK(after->again.has_value() == too_early);

  files.put("a", files.authority.issue(of_days(-1, 60)));
  const TlsMaterialPtr mended = load_what_serves(files.tls, after.get());
  CHECK_FALSE(mended->as_before);
  CHECK(mended->certificates.at(0).problem.empty());
  CHECK(identities_of(*mended) != identities_of(*before));
}

TEST_CASE("one damaged certificate of several holds up neither the others nor their renewal") {
  Files files;
  files.put("b", files.authority.issue({{"b.test"}}));
  files.tls.certificates.push_back({files.path("b.pem"), files.path("b.key")});
  files.write("a.key", "torn");

  const TlsMaterialPtr first = load_what_serves(files.tls, nullptr);
  CHECK(identities_of(*first).size() == 1);
  CHECK_FALSE(first->certificates.at(0).is_served);
  CHECK_THAT(first->certificates.at(0).problem, Contains("a.key has no private key"));
  CHECK(first->certificates.at(1).names == std::vector<std::string>{"b.test"});
  CHECK_THROWS(load_tls(files.tls));

  files.put("b", files.authority.issue({{"b.test"}}));
  const TlsMaterialPtr second = load_what_serves(files.tls, first.get());
  CHECK(identities_of(*second) != identities_of(*first));
  files.put("a", files.authority.issue({{"localhost"}}));
  const TlsMaterialPtr whole = load_what_serves(files.tls, second.get());
  REQUIRE(identities_of(*whole).size() == 2);
  CHECK(identities_of(*whole)[1] == identities_of(*second)[0]);

  files.write("b.pem", "torn");
  const TlsMaterialPtr kept = load_what_serves(files.tls, whole.get());
  CHECK(identities_of(*kept) == identities_of(*whole));
  CHECK_THAT(kept->certificates.at(1).problem, Contains("b.pem has no certificate"));
}

TEST_CASE("where nobody can say who a client is, nothing is served, or by what was read before") {
  Files files;
  files.write("ca.pem", files.authority.certificate());
  files.tls.client_certificates = config::ClientCertificates::required;
  files.tls.client_ca = files.path("ca.pem");
  const TlsMaterialPtr good = load_tls(files.tls);
  files.write("ca.pem", "torn");
  CHECK_FALSE(load_what_serves(files.tls, nullptr)->serves_any());
  const TlsMaterialPtr kept = load_what_serves(files.tls, good.get());
  CHECK(kept->as_before);
  CHECK(kept->serves_any());
  CHECK_THAT(kept->authorities_problem, Contains("ca.pem has no certificate"));
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

TEST_CASE(
    "the secret of a link is read without its line's end, and what others can read is refused") {
  Files files;
  config::Group group;
  group.name = "gate";
  group.kind = config::GroupKind::gateway;
  group.link.tls.secret_file = files.path("secret");
  const std::string secret(32, 's');
  files.write("secret", secret + "\n");
  const TlsMaterialPtr read = load_link_of(group);
  REQUIRE(read != nullptr);
  CHECK(
      certificates::decode_and_wipe(os::read_sealed_memfd(read->file.get(), 1 << 20)).secret.text ==
      secret);
  for (const auto mode : {0644, 0604, 0620}) {
    fs::permissions(files.path("secret"), fs::perms(mode));
    CHECK_THROWS_WITH(load_link_of(group),
                      Contains("groups.gate.link: the secret ") &&
                          Contains("chmod 600 " + files.path("secret").native()));
  }
  fs::permissions(files.path("secret"), fs::perms(0640));
  CHECK(load_link_of(group) != nullptr);
  files.write("secret", std::string(31, 's'));
  CHECK_THROWS_WITH(load_link_of(group), Contains("has 31 bytes, and is to have 32 to 4096"));
  fs::remove(files.path("secret"));
  CHECK_THROWS_WITH(load_link_of(group), Contains(files.path("secret").native()));
}

TEST_CASE("a secret that is damaged leaves the one before it in use") {
  Files files;
  config::Tls link;
  link.secret_file = files.path("secret");
  const std::string secret(32, 's');
  files.write("secret", secret);
  const TlsMaterialPtr before = load_what_serves(link, nullptr);
  CHECK(before->secret_problem.empty());
  files.write("secret", "short");
  const TlsMaterialPtr after = load_what_serves(link, before.get());
  CHECK_THAT(after->secret_problem, Contains("has 5 bytes"));
  CHECK(after->as_before);
  CHECK(certificates::decode_and_wipe(os::read_sealed_memfd(after->file.get(), 1 << 20))
            .secret.text == secret);
  files.write("secret", std::string(32, 'n'));
  CHECK_FALSE(load_what_serves(link, after.get())->as_before);
}
