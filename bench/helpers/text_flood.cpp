// Many connections to a text port that send lines as fast as they are taken, and read no answer.
//
//     text_flood PORT CONNECTIONS BYTES SECONDS     lines of BYTES bytes and LF; with 0 empty lines
//
// Prints one line of JSON: how many bytes were taken, and how many connections are still there.

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(std::atoi(argv[1]));
    std::string lines;
    while (lines.size() < 65536) lines += std::string(std::atoi(argv[3]), 'x') + "\n";
    std::vector<pollfd> all;
    for (int n = std::atoi(argv[2]); n > 0; n--) {
        int one = socket(AF_INET, SOCK_STREAM, 0);
        if (one < 0 || connect(one, reinterpret_cast<sockaddr *>(&to), sizeof to) < 0) break;
        fcntl(one, F_SETFL, O_NONBLOCK);
        all.push_back({one, POLLOUT, 0});
    }
    auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(std::atof(argv[4]));
    unsigned long long taken = 0, gone = 0;
    while (std::chrono::steady_clock::now() < end) {
        if (poll(all.data(), all.size(), 100) <= 0) continue;
        for (auto &one : all) {
            if (one.fd < 0 || !one.revents) continue;
            ssize_t count = send(one.fd, lines.data(), lines.size(), MSG_NOSIGNAL);
            if (count > 0) taken += count;
            if (count <= 0 && errno != EAGAIN) {
                close(one.fd);
                one.fd = -1;
                gone++;
            }
        }
    }
    std::printf("{\"taken\": %llu, \"connections\": %llu}\n", taken, (unsigned long long)all.size() - gone);
    return 0;
}
