#include "supervisor/tls_files.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <utility>

#include "certificates/material.hpp"
#include "certificates/names.hpp"
#include "certificates/pem.hpp"
#include "os/error.hpp"
#include "os/memfd.hpp"
#include "supervisor/tls_notes.hpp"

namespace appserver::supervisor {
namespace {

using std::filesystem::path;

// Above a bundle of all authorities of the world.
constexpr std::size_t kMaxFile = std::size_t{4} << 20;
constexpr std::size_t kLeastSecret = 32;
constexpr std::size_t kMostSecret = 4096;

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
    mode_ = before.st_mode;
    return content;
  }

  bool last_is_open_to_all() const { return (mode_ & (S_IROTH | S_IWOTH)) != 0; }
  bool last_is_open_to_others() const { return (mode_ & (S_IRWXO | S_IWGRP)) != 0; }

 private:
  mode_t mode_ = 0;
};

// What the files of one certificate hold.
struct Found {
  certificates::Identity identity;
  ServedCertificate served;
  std::string warning;
};

Found read_identity(const config::Tls::Identity& names) {
  Reader reader;
  Found found;
  found.identity.chain = reader.read(names.certificate);
  const auto chain = told_with(names.certificate, [&] {
    auto certificates = certificates::read_certificates(found.identity.chain);
    for (const auto& one : certificates) certificates::require_strength(*one);
    return certificates;
  });
  found.identity.key = reader.read(names.key);
  if (reader.last_is_open_to_all()) {
    found.warning = fmt::format("the key {0} can be read or written by everybody; chmod 600 {0}",
                                names.key.native());
  }
  const auto key = told_with(names.key, [&] { return certificates::read_key(found.identity.key); });
  try {
    certificates::require_fit(*chain.front(), *key);
  } catch (const std::exception&) {
    throw std::runtime_error(fmt::format("the key {} is not that of the certificate {}",
                                         names.key.native(), names.certificate.native()));
  }
  found.served = {names.certificate,
                  true,
                  certificates::dns_names(*chain.front()),
                  certificates::validity(*chain.front()),
                  {}};
  return found;
}

std::string read_authorities(const path& file) {
  std::string pem = Reader().read(file);
  told_with(file, [&] { return certificates::read_certificates(pem); });
  return pem;
}

// Without the line's end.
certificates::Secret read_secret(const path& file) {
  Reader reader;
  certificates::Secret secret(reader.read(file));
  if (reader.last_is_open_to_others()) {
    throw std::runtime_error(
        fmt::format("the secret {0} can be read or changed by others than its owner and group; "
                    "chmod 600 {0}",
                    file.native()));
  }
  while (!secret.text.empty() && (secret.text.back() == '\n' || secret.text.back() == '\r'))
    secret.text.pop_back();
  if (secret.text.size() < kLeastSecret || secret.text.size() > kMostSecret) {
    throw std::runtime_error(
        fmt::format("the secret {} has {} bytes, and is to have {} to {}; make one with `openssl "
                    "rand -hex 32`",
                    file.native(), secret.text.size(), kLeastSecret, kMostSecret));
  }
  return secret;
}

std::string why_not_valid(const ServedCertificate& certificate, std::chrono::sys_seconds time) {
  const certificates::Validity& validity = certificate.validity;
  if (time > validity.to) {
    return fmt::format("the certificate {} has expired on {}", certificate.file.native(),
                       certificates::time_text(validity.to));
  }
  return fmt::format("the certificate {} is not valid before {}", certificate.file.native(),
                     certificates::time_text(validity.from));
}

void seal(TlsMaterial& into, const certificates::Material& material) {
  std::string bytes = certificates::encode(material);
  try {
    into.file = os::make_sealed_memfd("appserver-tls", bytes);
  } catch (...) {
    certificates::wipe(bytes);
    throw;
  }
  certificates::wipe(bytes);
}

certificates::Material unseal(const TlsMaterial* from) {
  if (from == nullptr) return {};
  return certificates::decode_and_wipe(
      os::read_sealed_memfd(from->file.get(), certificates::kMaxMaterial));
}

// Puts together what serves best of the files and of what was read before.
class Merger final {
 public:
  Merger(const config::Tls& tls, const TlsMaterial* before)
      : tls_(tls), before_(before), kept_(unseal(before)), was_(unseal(before)) {
    result_->files = supervisor::look_at(tls);
  }

  std::shared_ptr<TlsMaterial> merge() {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < tls_.certificates.size(); ++i) {
      const ServedCertificate* old = before_ == nullptr ? nullptr : &before_->certificates.at(i);
      if (old != nullptr && !old->is_served) old = nullptr;
      add(i, old, old == nullptr ? nullptr : &kept_.identities.at(kept++));
    }
    if (!tls_.client_ca.empty()) add_authorities();
    if (!tls_.secret_file.empty()) add_secret();
    seal(*result_, material_);
    result_->as_before = before_ != nullptr && is_as_before();
    return std::move(result_);
  }

 private:
  void add(std::size_t index, const ServedCertificate* old, certificates::Identity* old_identity) {
    std::string problem;
    try {
      Found found = read_identity(tls_.certificates[index]);
      const bool is_valid = found.served.validity.holds_at(now_);
      if (is_valid || old == nullptr || !old->validity.holds_at(now_)) {
        if (!found.warning.empty()) result_->warnings.push_back(std::move(found.warning));
        result_->certificates.push_back(std::move(found.served));
        material_.identities.push_back(std::move(found.identity));
        return;
      }
      problem = why_not_valid(found.served, now_);
      const auto from = found.served.validity.from;
      if (from > now_) result_->again = std::min(result_->again.value_or(from), from);
    } catch (const std::exception& error) {
      problem = error.what();
      if (is_passing(error)) forget(2 * index, 2);
    }
    if (old == nullptr) {
      ServedCertificate none;
      none.file = tls_.certificates[index].certificate;
      none.problem = std::move(problem);
      result_->certificates.push_back(std::move(none));
    } else {
      result_->certificates.push_back(*old);
      result_->certificates.back().problem = std::move(problem);
      material_.identities.push_back(std::move(*old_identity));
    }
  }

  void add_authorities() {
    try {
      material_.client_authorities = read_authorities(tls_.client_ca);
      return;
    } catch (const std::exception& error) {
      result_->authorities_problem = error.what();
      if (is_passing(error)) forget(2 * tls_.certificates.size(), 1);
    }
    material_.client_authorities = kept_.client_authorities;
    if (!material_.client_authorities.empty()) return;
    // Nobody could say who a client is.
    material_.identities.clear();
    for (ServedCertificate& one : result_->certificates) {
      ServedCertificate none;
      none.file = std::move(one.file);
      none.problem = std::move(one.problem);
      one = std::move(none);
    }
  }

  void add_secret() {
    try {
      material_.secret = read_secret(tls_.secret_file);
    } catch (const std::exception& error) {
      result_->secret_problem = error.what();
      if (is_passing(error)) forget(result_->files.size() - 1, 1);
      material_.secret = std::move(kept_.secret);
    }
  }

  // Not of the file's content.
  static bool is_passing(const std::exception& error) {
    return dynamic_cast<const os::SystemError*>(&error) != nullptr;
  }
  void forget(std::size_t first, std::size_t count) {
    for (std::size_t i = first; i < first + count; ++i) {
      result_->files.at(i) = {};
      result_->files.at(i).size = kMaxFile + 1;
    }
  }

  bool is_as_before() const {
    const auto is_same = [](const certificates::Identity& a, const certificates::Identity& b) {
      return a.chain == b.chain && a.key == b.key;
    };
    return material_.client_authorities == was_.client_authorities &&
           material_.secret.text == was_.secret.text &&
           std::ranges::equal(material_.identities, was_.identities, is_same);
  }

  const config::Tls& tls_;
  const TlsMaterial* before_;
  certificates::Material kept_;
  const certificates::Material was_;
  const std::chrono::sys_seconds now_ = tls_now();
  certificates::Material material_;
  std::shared_ptr<TlsMaterial> result_ = std::make_shared<TlsMaterial>();
};

// One that is in use and valid, and that `fresh` would take the place of.
const ServedCertificate* valid_for(const ServedCertificate& fresh, const TlsMaterial& in_use,
                                   std::chrono::sys_seconds time) {
  for (const ServedCertificate& one : in_use.certificates) {
    if (!one.is_served || !one.validity.holds_at(time)) continue;
    const bool shares_a_name =
        std::ranges::find_first_of(one.names, fresh.names) != one.names.end();
    if (shares_a_name || one.file == fresh.file) return &one;
  }
  return nullptr;
}

}  // namespace

bool TlsMaterial::serves_any() const {
  return std::ranges::any_of(certificates, &ServedCertificate::is_served);
}

TlsMaterialPtr load_tls(const config::Tls& tls) {
  auto result = std::make_shared<TlsMaterial>();
  result->files = look_at(tls);
  certificates::Material material;
  for (const config::Tls::Identity& names : tls.certificates) {
    Found found = read_identity(names);
    if (!found.warning.empty()) result->warnings.push_back(std::move(found.warning));
    result->certificates.push_back(std::move(found.served));
    material.identities.push_back(std::move(found.identity));
  }
  if (!tls.client_ca.empty()) material.client_authorities = read_authorities(tls.client_ca);
  if (!tls.secret_file.empty()) material.secret = read_secret(tls.secret_file);
  seal(*result, material);
  return result;
}

TlsMaterialPtr load_link_of(const config::Group& group) {
  if (!group.link.is_used()) return nullptr;
  try {
    return load_tls(group.link.tls);
  } catch (const std::exception& error) {
    throw std::runtime_error(
        fmt::format("groups.{}.{}: {}", group.name,
                    group.kind == config::GroupKind::gateway ? "link" : "gateway", error.what()));
  }
}

TlsMaterialPtr load_tls_of(const config::Group& group, const TlsMaterial* in_use) {
  if (!group.tls.is_used()) return nullptr;
  const auto fail = [&group](std::string_view problem) {
    throw std::runtime_error(fmt::format("groups.{}.tls: {}", group.name, problem));
  };
  TlsMaterialPtr fresh;
  try {
    fresh = load_tls(group.tls);
  } catch (const std::exception& error) {
    fail(error.what());
  }
  const auto time = tls_now();
  for (const ServedCertificate& one : fresh->certificates) {
    if (in_use == nullptr || one.validity.holds_at(time)) continue;
    const ServedCertificate* const better = valid_for(one, *in_use, time);
    if (better == nullptr) continue;
    fail(fmt::format("{}, and the one in use is valid until {}: renew it, or put that one back",
                     why_not_valid(one, time), certificates::time_text(better->validity.to)));
  }
  return fresh;
}

TlsMaterialPtr load_what_serves(const config::Tls& tls, const TlsMaterial* before) {
  return Merger(tls, before).merge();
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
  if (!tls.secret_file.empty()) add(tls.secret_file);
  return states;
}

}  // namespace appserver::supervisor
