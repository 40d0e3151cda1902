#include "restore/compare_request.h"

#include <set>
#include <string_view>

#include "agent/os/text.h"
#include "restore/runtime/protocol/differences.h"

namespace cryopod::restore {
namespace {

using wrapper::Difference;

constexpr size_t kNamesMax = 20;
constexpr size_t kTextBytesMax = 256;

// "docker.io/library/redis@sha256:…" and "sha256:…" → "sha256:…"
std::string_view DigestIn(std::string_view image_ref) {
  return image_ref.substr(image_ref.find('@') + 1);
}

// A registry's digest and that of the configuration, of which a runtime may tell one or both: one
// in common is the same image. Empty ones tell nothing.
bool IsSameImage(const archive::ContainerCheckpoint& recorded, const wrapper::Request& request) {
  std::set<std::string_view> there = {DigestIn(recorded.image_ref), recorded.image_id};
  std::set<std::string_view> here = {DigestIn(request.image_ref), request.image_id};
  there.erase("");
  here.erase("");
  if (there.empty()) return true;
  for (const std::string_view digest : here) {
    if (there.contains(digest)) return true;
  }
  return false;
}

std::string ImageText(const std::string& image, const std::string& ref, const std::string& id) {
  return Printable(image + " (" + (ref.empty() ? id : ref) + ")", kTextBytesMax);
}

std::string Sentence(Difference difference, const std::string& live, const std::string& recorded) {
  return "the " + std::string(DifferenceName(difference)) + " of the request is \"" + live +
         "\", that of the archive \"" + recorded + "\"";
}

std::string DifferentVariables(const archive::ProgramRecord& recorded,
                               const archive::ProgramRecord& live) {
  std::set<std::string> names;
  for (const auto& [name, digest] : recorded.environment) {
    const auto found = live.environment.find(name);
    if (found == live.environment.end() || found->second != digest) names.insert(name);
  }
  for (const auto& [name, digest] : live.environment) {
    if (!recorded.environment.contains(name)) names.insert(name);
  }
  return names.empty() ? "" : JoinFirst({names.begin(), names.end()}, kNamesMax);
}

}  // namespace

Result<std::vector<std::string>> CompareRequest(const archive::ContainerCheckpoint& recorded,
                                                const wrapper::Request& request,
                                                const archive::ProgramRecord& live) {
  CRYOPOD_ASSIGN_OR_RETURN(const std::set<Difference> allowed,
                           wrapper::ParseDifferences(request.differences));
  std::vector<std::string> refused;
  std::vector<std::string> told;
  std::vector<std::string> names;
  const auto add = [&](Difference difference, const std::string& here, const std::string& there) {
    const bool may = allowed.contains(difference);
    (may ? told : refused).push_back(Sentence(difference, here, there));
    if (!may) names.emplace_back(DifferenceName(difference));
  };
  const archive::ProgramRecord& program = recorded.program;
  if (!IsSameImage(recorded, request)) {
    add(Difference::kImage, ImageText(request.image, request.image_ref, request.image_id),
        ImageText(recorded.image, recorded.image_ref, recorded.image_id));
  }
  if (!program.command_digest.empty() && program.command_digest != live.command_digest) {
    add(Difference::kCommand, live.command, program.command);
  }
  if (!program.working_directory.empty() && program.working_directory != live.working_directory) {
    add(Difference::kWorkingDirectory, live.working_directory, program.working_directory);
  }
  if (!refused.empty()) {
    return Status(Code::kFailedPrecondition,
                  Join(refused, "; ") +
                      "; request what was checkpointed, or allow it by the "
                      "annotation " +
                      wrapper::kDifferencesAnnotation + ": " + Join(names, ","),
                  Reason::kRequestDiffers);
  }
  const std::string variables =
      program.environment.empty() ? "" : DifferentVariables(program, live);
  if (!variables.empty()) {
    told.push_back(
        "the processes keep the environment of the archive, which differs from the "
        "request's in " +
        variables);
  }
  return told;
}

}  // namespace cryopod::restore
