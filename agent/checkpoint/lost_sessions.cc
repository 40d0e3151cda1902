#include "agent/checkpoint/lost_sessions.h"

#include <cstddef>
#include <deque>
#include <map>

namespace cryopod::checkpoint {
namespace {

constexpr pid_t kNobody = -1;

// A process as a restore will fork it, or one that is made for the fork of others and then ends.
struct Task {
  const ProcessInfo* process = nullptr;  // null: made by the restore
  pid_t pid = 0;
  pid_t session = 0;
  Task* parent = nullptr;
  std::vector<Task*> children = {};
  pid_t born_session = kNobody;  // when it forks children before it makes its own session
  pid_t inherited_session = 0;
  bool is_lost = false;
};

class Tree {
 public:
  Tree(const std::vector<ProcessInfo>& processes, pid_t init) {
    for (const ProcessInfo& process : processes) {
      Task*& task = by_pid_[process.pid];
      if (task != nullptr) continue;
      task = &Add(process.pid, process.session);
      task->process = &process;
    }
    const auto root = by_pid_.find(init);
    if (root == by_pid_.end()) return;
    root_ = root->second;
    for (const auto& [pid, task] : by_pid_) {
      const auto parent = by_pid_.find(task->process->parent_pid);
      if (pid != init && parent != by_pid_.end()) Attach(*task, *parent->second);
    }
  }

  std::vector<LostSession> FindLost() {
    if (root_ == nullptr) return {};
    std::vector<Task*> detached = PlaceOrphans();
    for (Task* task : Walk()) {
      if (!IsBornSomewhere(*task)) task->is_lost = true;
    }
    for (Task* leader : detached) Attach(*leader, *root_);
    return Inherit();
  }

 private:
  Task& Add(pid_t pid, pid_t session) {
    return tasks_.emplace_back(Task{.pid = pid, .session = session});
  }
  static void Attach(Task& task, Task& parent) {
    task.parent = &parent;
    parent.children.push_back(&task);
  }
  // Parents before children. A loop of parents, which reading /proc one by one may show, hangs
  // beneath nobody.
  std::vector<Task*> Walk() const {
    std::vector<Task*> order = {root_};
    for (size_t i = 0; i < order.size(); ++i) {
      const std::vector<Task*>& children = order[i]->children;
      order.insert(order.end(), children.begin(), children.end());
    }
    return order;
  }

  // Children of the first process in sessions that are not its own go to a process of that session:
  // a child of the leader, or, when that has ended, one with its PID. Those that stand for ended
  // leaders are returned: beneath them CRIU looks for no leaders.
  std::vector<Task*> PlaceOrphans() {
    std::map<pid_t, Task*> places;
    std::vector<Task*> detached;
    std::vector<Task*> stay;
    for (Task* child : root_->children) {
      if (child->session == root_->session || child->session == child->pid) {
        stay.push_back(child);
        continue;
      }
      Task*& place = places[child->session];
      if (place == nullptr) {
        const auto leader = by_pid_.find(child->session);
        const bool lives = leader != by_pid_.end();
        place = &Add(lives ? kNobody : child->session, child->session);
        if (lives) {
          Attach(*place, *leader->second);
        } else {
          detached.push_back(place);
        }
      }
      Attach(*child, *place);
    }
    root_->children = std::move(stay);
    return detached;
  }

  // Notes in every process between it and its session's leader that it was forked before they made
  // sessions of their own.
  static bool IsBornSomewhere(const Task& task) {
    if (task.parent == nullptr || task.process == nullptr) return true;
    if (task.session == task.pid || task.session == task.parent->session) return true;
    const Task* leader = task.parent;
    while (leader != nullptr && leader->pid != task.session) leader = leader->parent;
    if (leader == nullptr) return false;
    for (Task* above = task.parent; above != leader; above = above->parent) {
      if (above->born_session != kNobody && above->born_session != task.session) return false;
      above->born_session = task.session;
    }
    return true;
  }

  std::vector<LostSession> Inherit() const {
    std::vector<LostSession> lost;
    root_->inherited_session = root_->session;
    for (Task* task : Walk()) {
      if (task->parent == nullptr) continue;
      const pid_t born = task->born_session == kNobody ? task->session : task->born_session;
      const bool is_before = task->parent->born_session == born;
      task->inherited_session = is_before ? task->parent->inherited_session : task->parent->session;
      const bool fits = task->session == task->pid || task->session == task->inherited_session;
      if (task->process == nullptr || (fits && !task->is_lost)) continue;
      const auto parent = by_pid_.find(task->process->parent_pid);
      lost.push_back({*task->process,
                      parent == by_pid_.end() ? ProcessInfo() : *parent->second->process,
                      by_pid_.contains(task->session)});
    }
    return lost;
  }

  std::deque<Task> tasks_;
  std::map<pid_t, Task*> by_pid_;
  Task* root_ = nullptr;
};

}  // namespace

std::vector<LostSession> FindLostSessions(const std::vector<ProcessInfo>& processes, pid_t init) {
  return Tree(processes, init).FindLost();
}

}  // namespace cryopod::checkpoint
