// A group's configuration as JSON, whole and exact: for the boot record of a worker and the records
// of releases.
#pragma once

#include <boost/json/value.hpp>

#include "config/config.hpp"

namespace appserver::config {

// Paths and values are bytes: who reads the text back allows invalid UTF-8.
boost::json::value to_json(const Group& group);

// Takes what to_json wrote, also that of an older version: a key that is missing keeps its default,
// one that is unknown is an error. Throws std::runtime_error (or what boost::json throws) with the
// key's name.
Group group_from_json(const boost::json::value& value);

}  // namespace appserver::config
