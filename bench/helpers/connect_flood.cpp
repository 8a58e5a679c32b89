// Connections that begin and do not go on: so many a second, from many addresses, each with the same first bytes.
//
//     connect_flood HOST PORT FIRST ADDRESSES RATE HELD SECONDS [FILE]
//
// The sources are ADDRESSES addresses from FIRST on; of the connections the latest HELD are kept. Without FILE they say nothing.
// Prints one line of JSON: how many were opened, and how many could not be.

#include <arpa/inet.h>
#include <errno.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>

int main(int argc, char **argv) {
    if (argc != 8 && argc != 9) return 2;
    sockaddr_in to{}, from{};
    to.sin_family = from.sin_family = AF_INET;
    inet_pton(AF_INET, argv[1], &to.sin_addr);
    to.sin_port = htons(std::atoi(argv[2]));
    inet_pton(AF_INET, argv[3], &from.sin_addr);
    uint32_t first = ntohl(from.sin_addr.s_addr);
    unsigned addresses = std::atoi(argv[4]);
    double rate = std::atof(argv[5]);
    size_t held = std::atoi(argv[6]);
    std::string bytes;
    if (argc == 9) {
        std::ifstream file(argv[8], std::ios::binary);
        bytes.assign(std::istreambuf_iterator<char>(file), {});
    }
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    struct One {
        int fd;
        bool spoken;
    };
    std::deque<One> all;
    unsigned long long opened = 0, failed = 0, due = 0;
    using clock = std::chrono::steady_clock;
    auto begin = clock::now();
    double seconds = std::atof(argv[7]);
    for (;;) {
        double now = std::chrono::duration<double>(clock::now() - begin).count();
        if (now >= seconds) break;
        for (; due < now * rate; due++) {
            int one = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
            int on = 1;
            setsockopt(one, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
            from.sin_addr.s_addr = htonl(first + due % addresses);
            from.sin_port = 0;
            bool is_open = one >= 0 && bind(one, reinterpret_cast<sockaddr *>(&from), sizeof from) == 0 &&
                           (connect(one, reinterpret_cast<sockaddr *>(&to), sizeof to) == 0 || errno == EINPROGRESS);
            if (!is_open) {
                failed++;
                if (one >= 0) close(one);
                continue;
            }
            opened++;
            all.push_back({one, bytes.empty()});
            if (all.size() > held) {
                close(all.front().fd);
                all.pop_front();
            }
        }
        for (auto one = all.rbegin(); one != all.rend() && one - all.rbegin() < 256; ++one) {
            if (!one->spoken && send(one->fd, bytes.data(), bytes.size(), MSG_NOSIGNAL) > 0) one->spoken = true;
        }
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    std::printf("{\"opened\": %llu, \"failed\": %llu}\n", opened, failed);
    return 0;
}
