#include "supervisor/tls_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <exception>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "certificates/material.hpp"
#include "certificates/names.hpp"
#include "certificates/pem.hpp"
#include "os/error.hpp"
#include "os/memfd.hpp"

namespace appserver::supervisor {
namespace {

using std::filesystem::path;

// Above a bundle of all authorities of the world.
constexpr std::size_t kMaxFile = std::size_t{4} << 20;

FileState state_of(const struct stat& status) {
  const auto nanoseconds = [](const timespec& time) {
    constexpr std::int64_t kSecond = 1'000'000'000;
    return time.tv_sec * kSecond + time.tv_nsec;
  };
  return {status.st_dev, status.st_ino, static_cast<std::uint64_t>(status.st_size),
          nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

struct stat look_at(const os::Fd& file, const path& name) {
  struct stat status {};
  os::check(::fstat(file.get(), &status), "fstat({})", name.native());
  return status;
}

// Calls `what` with the text; what it throws is told with the file.
template <typename What>
auto told_with(const path& file, What&& what) {
  try {
    return what();
  } catch (const os::SystemError&) {
    throw;
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("{} {}", file.native(), error.what()));
  }
}

class Reader final {
 public:
  std::string read(const path& name) {
    // Not to wait for somebody who writes into a pipe.
    const os::Fd file(os::check(::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), "open({})",
                                name.native()));
    const struct stat before = look_at(file, name);
    if (!S_ISREG(before.st_mode))
      throw std::runtime_error(fmt::format("{} is no regular file", name.native()));
    const auto size = static_cast<std::size_t>(before.st_size);
    if (size > kMaxFile) throw std::runtime_error(fmt::format("{} is over 4 MiB", name.native()));
    std::string content(size, '\0');
    std::size_t done = 0;
    while (done < size) {
      const auto got = os::check(os::retry_on_interrupt([&] {
                                   return ::read(file.get(), content.data() + done, size - done);
                                 }),
                                 "read({})", name.native());
      if (got == 0) break;
      done += static_cast<std::size_t>(got);
    }
    if (done < size || state_of(look_at(file, name)) != state_of(before)) {
      certificates::wipe(content);
      throw std::runtime_error(fmt::format("{} changes while it is read", name.native()));
    }
    material->files.push_back(state_of(before));
    mode_ = before.st_mode;
    return content;
  }

  void warn(std::string warning) { material->warnings.push_back(std::move(warning)); }
  bool last_is_open_to_all() const { return (mode_ & (S_IROTH | S_IWOTH)) != 0; }

  std::shared_ptr<TlsMaterial> material = std::make_shared<TlsMaterial>();

 private:
  mode_t mode_ = 0;
};

void check_dates(Reader& reader, const path& name, const X509& certificate) {
  if (certificates::is_expired(certificate)) {
    reader.warn(fmt::format("the certificate {} has expired on {}; clients refuse it",
                            name.native(), certificates::last_day(certificate)));
  } else if (certificates::is_not_yet_valid(certificate)) {
    reader.warn(
        fmt::format("the certificate {} is not valid yet; clients refuse it", name.native()));
  }
}

certificates::Identity read_identity(Reader& reader, const config::Tls::Identity& names) {
  certificates::Identity identity;
  identity.chain = reader.read(names.certificate);
  const auto chain = told_with(names.certificate, [&] {
    auto found = certificates::read_certificates(identity.chain);
    for (const auto& one : found) certificates::require_strength(*one);
    return found;
  });
  check_dates(reader, names.certificate, *chain.front());
  identity.key = reader.read(names.key);
  if (reader.last_is_open_to_all()) {
    reader.warn(fmt::format("the key {0} can be read or written by everybody; chmod 600 {0}",
                            names.key.native()));
  }
  const auto key = told_with(names.key, [&] { return certificates::read_key(identity.key); });
  try {
    certificates::require_fit(*chain.front(), *key);
  } catch (const std::exception&) {
    throw std::runtime_error(fmt::format("the key {} is not that of the certificate {}",
                                         names.key.native(), names.certificate.native()));
  }
  return identity;
}

}  // namespace

TlsMaterialPtr load_tls(const config::Tls& tls) {
  Reader reader;
  certificates::Material material;
  for (const config::Tls::Identity& names : tls.certificates) {
    material.identities.push_back(read_identity(reader, names));
  }
  if (!tls.client_ca.empty()) {
    material.client_authorities = reader.read(tls.client_ca);
    told_with(tls.client_ca,
              [&] { return certificates::read_certificates(material.client_authorities); });
  }
  std::string bytes = certificates::encode(material);
  try {
    reader.material->file = os::make_sealed_memfd("appserver-tls", bytes);
  } catch (...) {
    certificates::wipe(bytes);
    throw;
  }
  certificates::wipe(bytes);
  return reader.material;
}

TlsMaterialPtr load_tls_of(const config::Group& group) {
  if (!group.tls.is_used()) return nullptr;
  try {
    return load_tls(group.tls);
  } catch (const std::exception& error) {
    throw std::runtime_error(fmt::format("groups.{}.tls: {}", group.name, error.what()));
  }
}

TlsMaterialPtr no_tls() {
  auto material = std::make_shared<TlsMaterial>();
  material->file = os::make_sealed_memfd("appserver-tls", certificates::encode({}));
  return material;
}

std::vector<FileState> look_at(const config::Tls& tls) {
  std::vector<FileState> states;
  const auto add = [&states](const path& name) {
    struct stat status {};
    states.push_back(::stat(name.c_str(), &status) == 0 ? state_of(status) : FileState{});
  };
  for (const config::Tls::Identity& names : tls.certificates) {
    add(names.certificate);
    add(names.key);
  }
  if (!tls.client_ca.empty()) add(tls.client_ca);
  return states;
}

}  // namespace appserver::supervisor
