// A cryopod-restore that restores nothing: it listens at its job's control socket and answers what
// it is handed, by the request's container name:
//
//   anything    PASS for START and DELETED, FAIL with "from the restore of ARCHIVE" otherwise
//   dies        ends without an answer
//   tells       FAIL with "image IMAGE REF ID", what the request holds of its image
//
// With --end it notes in the file "ended" beside the job's directory whose job that was.
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <string>

#include "agent/os/unix_socket.h"
#include "restore/runtime/protocol/messages.h"

namespace {

using cryopod::Deadline;
using cryopod::wrapper::Answer;
using cryopod::wrapper::Request;
using std::chrono::seconds;

void Serve(int listener) {
  auto control = cryopod::AcceptUnix(listener, Deadline::After(seconds(60)));
  if (!control.ok()) ::_exit(1);
  auto frame = cryopod::ReceiveFrame(control->get(), Deadline::After(seconds(5)));
  if (!frame.ok() || frame->descriptors.size() != 1) ::_exit(2);
  const auto request = cryopod::wrapper::ParseRequest(frame->bytes);
  if (!request.ok() || request->container_name == "dies") ::_exit(3);
  const bool passes =
      request->kind == Request::Kind::kStart || request->kind == Request::Kind::kDeleted;
  const std::string told =
      "image " + request->image + " " + request->image_ref + " " + request->image_id;
  if (request->container_name == "tells") {
    (void)cryopod::wrapper::Send(frame->descriptors[0].get(), Answer::Fail(told),
                                 Deadline::After(seconds(5)));
    return;
  }
  const Answer answer =
      passes ? Answer::Pass() : Answer::Fail("from the restore of " + request->restore_from);
  (void)cryopod::wrapper::Send(frame->descriptors[0].get(), answer, Deadline::After(seconds(5)));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  const std::filesystem::path job = argv[2];
  if (argc > 3) {
    std::ofstream(job.parent_path().parent_path() / "ended", std::ios::app)
        << job.filename().string() << "\n";
    return 0;
  }
  const auto listener = cryopod::ListenUnix(job / "control.sock");
  if (!listener.ok()) return 1;
  while (true) Serve(listener->get());
}
