#include "plugin/load.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include "plugin/bad_plugin.hpp"
#include "plugin/demangle.hpp"

namespace appserver::plugin {
namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

const char* advice_for(std::string_view error) {
  if (contains(error, "undefined symbol")) {
    return "; link what defines it into the plugin (appserver_add_plugin finds this at link time)";
  }
  if (contains(error, "cannot open shared object file"))
    return "; install that library on this machine, or link it statically";
  if (contains(error, "not found (required by"))
    return "; build the plugin on a system as old as this one";
  if (contains(error, "failed to map segment")) {
    return "; is the state directory on a file system that is mounted noexec?";
  }
  return "";
}

[[noreturn]] void throw_bad(const std::filesystem::path& file, std::string_view reason) {
  throw BadPlugin(fmt::format("{}: {}", file.native(), reason));
}

}  // namespace

std::string explain_loader_error(std::string_view error, const std::filesystem::path& file) {
  const auto prefix = file.native() + ": ";
  if (error.starts_with(prefix)) error.remove_prefix(prefix.size());
  constexpr std::string_view kUndefined = "undefined symbol: ";
  std::string text(error);
  if (const auto found = text.find(kUndefined); found != std::string::npos) {
    const auto begin = found + kUndefined.size();
    // A version may follow: "undefined symbol: f, version LIB_2".
    const auto end = std::min(text.find_first_of(", ", begin), text.size());
    text.replace(begin, end - begin, demangled(text.substr(begin, end - begin)));
  }
  return text + advice_for(error);
}

appserver_plugin read_plugin(const void* exported) {
  constexpr std::size_t kRequired =
      offsetof(appserver_plugin, destroy) + sizeof(appserver_plugin::destroy);
  const auto plugin = read_table<appserver_plugin>(exported);
  if (!plugin || plugin->size < kRequired) {
    throw BadPlugin("its " APPSERVER_PLUGIN_SYMBOL
                    " is too short; set its size field to sizeof(appserver_plugin)");
  }
  if (plugin->abi_major != APPSERVER_ABI_MAJOR || plugin->abi_minor > APPSERVER_ABI_MINOR) {
    throw BadPlugin(fmt::format(
        "its " APPSERVER_PLUGIN_SYMBOL
        " is of ABI {}.{}, this appserverd has ABI {}.{}; build it with the SDK of this appserverd",
        plugin->abi_major, plugin->abi_minor, APPSERVER_ABI_MAJOR, APPSERVER_ABI_MINOR));
  }
  if (plugin->create == nullptr || plugin->destroy == nullptr) {
    throw BadPlugin("its " APPSERVER_PLUGIN_SYMBOL
                    " lacks create or destroy, which every plugin must have");
  }
  return *plugin;
}

appserver_plugin load(const std::filesystem::path& file) {
  // A name without a slash would be searched for in the system's library folders.
  const auto path = std::filesystem::absolute(file);
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) throw_bad(path, explain_loader_error(::dlerror(), path));
  const void* const exported = ::dlsym(library, APPSERVER_PLUGIN_SYMBOL);
  if (exported == nullptr) {
    throw_bad(path,
              "it does not export " APPSERVER_PLUGIN_SYMBOL "; build it with appserver_add_plugin");
  }
  try {
    return read_plugin(exported);
  } catch (const BadPlugin& error) {
    throw_bad(path, error.what());
  }
}

}  // namespace appserver::plugin
