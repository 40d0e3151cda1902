#pragma once

#include <set>
#include <string>

#include "restore/runtime/protocol/consumed_record.h"

namespace cryopod::test {

// That these containers were restored in the sandbox "s1", and are all that there are.
inline wrapper::ConsumedRecord SampleRecord(const std::string& restore_from,
                                            const std::set<std::string>& containers,
                                            const std::string& restore_operation = "") {
  wrapper::ConsumedRecord record;
  record.restore_from = restore_from;
  record.restore_operation = restore_operation;
  record.operation_id = "r-0";
  record.sandbox_id = "s1";
  for (const std::string& name : containers) record.restored[name] = "";
  return record;
}

}  // namespace cryopod::test
