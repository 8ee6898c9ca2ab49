// C++ names as they stand in the source.
#pragma once

#include <string>

namespace appserver::plugin {

// The symbol itself where it is no C++ name, or one whose text could grow beyond all bounds: a name
// may come from a file that nobody vouches for.
std::string demangled(const std::string& symbol);

}  // namespace appserver::plugin
