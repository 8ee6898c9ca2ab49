#include "supervisor/tls_files.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <string>

#include "certificate_maker.hpp"
#include "certificates/material.hpp"
#include "os/memfd.hpp"

using namespace appserver;
using namespace appserver::supervisor;
using Catch::Contains;
namespace fs = std::filesystem;

namespace {

class Files {
 public:
  Files() {
    std::string name = (fs::temp_directory_path() / "tls_files_test.XXXXXX").native();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    folder_ = name;
    put("a", authority.issue({{"localhost"}}));
    tls.certificates = {{folder_ / "a.pem", folder_ / "a.key"}};
  }
  ~Files() { fs::remove_all(folder_); }

  void write(const std::string& name, const std::string& content) const {
    std::ofstream(folder_ / name, std::ios::binary) << content;
    fs::permissions(folder_ / name, fs::perms::owner_read | fs::perms::owner_write);
  }
  void put(const std::string& name, const test::Made& made) const {
    write(name + ".pem", made.chain);
    write(name + ".key", made.key);
  }
  fs::path path(const std::string& name) const { return folder_ / name; }

  const test::Authority authority;
  config::Tls tls;

 private:
  fs::path folder_;
};

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
  CHECK_THROWS_WITH(load_tls_of(group), Contains("groups.api.tls: "));
  group.tls = {};
  CHECK(load_tls_of(group) == nullptr);
}

TEST_CASE("what works but should not stay so is a warning") {
  Files files;
  test::Wanted old;
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
