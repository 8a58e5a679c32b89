// Times whole processes: start, wait, and the next command; the order within each turn is random.
//
//     spawn_times RUNS -- COMMAND... -- COMMAND...
//
// Output of the commands is thrown away, an exit code other than 0 ends the run.
// Prints one line of JSON: the median of each command, in microseconds, in the order given.

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

extern char **environ;

static double run(char **command) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    auto start = std::chrono::steady_clock::now();
    pid_t child = 0;
    int error = posix_spawnp(&child, command[0], &actions, nullptr, command, environ);
    if (error != 0) {
        std::fprintf(stderr, "spawn_times: %s: %s\n", command[0], std::strerror(error));
        std::exit(1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    double time = std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - start).count();
    posix_spawn_file_actions_destroy(&actions);
    if (status != 0) {
        std::fprintf(stderr, "spawn_times: %s ended with status %d\n", command[0], WEXITSTATUS(status));
        std::exit(1);
    }
    return time;
}

int main(int argc, char **argv) {
    std::vector<char **> commands;
    for (int i = 2; i < argc; i++) {
        if (std::strcmp(argv[i], "--") != 0) continue;
        argv[i] = nullptr;  // ends the command before
        commands.push_back(argv + i + 1);
    }
    if (commands.empty()) {
        std::fprintf(stderr, "usage: spawn_times RUNS -- COMMAND... -- COMMAND...\n");
        return 2;
    }
    const int runs = std::atoi(argv[1]);
    std::vector<std::vector<double>> times(commands.size());
    std::vector<size_t> order(commands.size());
    for (size_t i = 0; i < order.size(); i++) order[i] = i;
    std::mt19937 random(1);
    for (char **command : commands) run(command);  // once unmeasured: keys made, files in the page cache
    for (int i = 0; i < runs; i++) {
        std::shuffle(order.begin(), order.end(), random);
        for (size_t which : order) times[which].push_back(run(commands[which]));
    }
    std::printf("{\"median_us\": [");
    for (size_t i = 0; i < times.size(); i++) {
        std::sort(times[i].begin(), times[i].end());
        std::printf("%s%.1f", i ? ", " : "", times[i][times[i].size() / 2]);
    }
    std::printf("]}\n");
}
