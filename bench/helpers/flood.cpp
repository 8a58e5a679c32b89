// Many connections that send the same bytes again and again, as fast as they are taken.
//
//     flood HOST PORT CONNECTIONS SECONDS FILE TAKE     what FILE holds; with TAKE 1 answers are read and thrown away
//
// One that the other side ends is opened anew. Prints one line of JSON: bytes taken, connections opened, and those that are
// there at the end.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

struct Connection {
    size_t sent = 0;
};

int main(int argc, char **argv) {
    if (argc != 7) return 2;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    to.sin_port = htons(std::atoi(argv[2]));
    size_t wanted = std::atoi(argv[3]);
    std::ifstream file(argv[5], std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(file), {}};
    bool take = argv[6][0] == '1';
    if (bytes.empty()) return 2;
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    std::vector<pollfd> all(wanted, {-1, 0, 0});
    std::vector<Connection> states(wanted);
    std::string waste(65536, 0);
    unsigned long long taken = 0, opened = 0;
    using clock = std::chrono::steady_clock;
    auto end = clock::now() + std::chrono::duration<double>(std::atof(argv[4]));
    auto next_open = clock::now();
    while (clock::now() < end) {
        if (clock::now() >= next_open) {
            next_open = clock::now() + std::chrono::milliseconds(100);
            for (size_t n = 0; n < wanted; n++) {
                if (all[n].fd >= 0) continue;
                int one = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
                if (one < 0) break;
                if (connect(one, reinterpret_cast<sockaddr *>(&to), sizeof to) < 0 && errno != EINPROGRESS) {
                    close(one);
                    break;
                }
                all[n] = {one, static_cast<short>(POLLOUT | (take ? POLLIN : 0)), 0};
                states[n] = {};
                opened++;
            }
        }
        if (poll(all.data(), all.size(), 50) <= 0) continue;
        for (size_t n = 0; n < wanted; n++) {
            auto &one = all[n];
            if (one.fd < 0 || !one.revents) continue;
            bool gone = one.revents & (POLLERR | POLLHUP);
            if (!gone && (one.revents & POLLIN)) {
                ssize_t count = recv(one.fd, waste.data(), waste.size(), 0);
                gone = count == 0 || (count < 0 && errno != EAGAIN);
            }
            if (!gone && (one.revents & POLLOUT)) {
                size_t at = states[n].sent % bytes.size();
                ssize_t count = send(one.fd, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
                if (count > 0) taken += count, states[n].sent += count;
                gone = count < 0 && errno != EAGAIN;
            }
            if (gone) {
                close(one.fd);
                one.fd = -1;
            }
        }
    }
    size_t there = 0;
    for (auto &one : all) there += one.fd >= 0;
    std::printf("{\"taken\": %llu, \"opened\": %llu, \"connections\": %zu}\n", taken, opened, there);
    return 0;
}
