// The recipe's clients, many at once, from one thread: connect, read the greeting, write a message, close.
//
//     recipe_load PORT CLIENTS SECONDS close|eof
//
// `close` does what the recipe's client does. `eof` ends only its own half, and waits for the server to close.
// Prints one line of JSON. `connections` is the number of messages that the server must have.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

using Clock = std::chrono::steady_clock;

static const char GREETING[] = "You are connected!";
static const size_t GREETING_SIZE = sizeof GREETING - 1;
static const char MESSAGE[] = "hi";

struct Exchange {
    int socket = -1;
    size_t greeted = 0;  // bytes of the greeting that have come
    bool written = false;
    Clock::time_point start;
};

static int epoll = -1;
static sockaddr_in server{};
static unsigned source = 0;
static long done = 0, failed = 0;
static double slowest = 0;

[[noreturn]] static void fail(const char *what) {
    std::fprintf(stderr, "recipe_load: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

static void begin(Exchange &exchange, size_t slot) {
    exchange.greeted = 0;
    exchange.written = false;
    exchange.start = Clock::now();
    exchange.socket = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (exchange.socket < 0) fail("socket");
    // Closed connections hold their port for a minute, so the clients come from 64 addresses.
    sockaddr_in from{};
    from.sin_family = AF_INET;
    from.sin_addr.s_addr = htonl(0x7f000101u + source++ % 64);
    int one = 1;
    setsockopt(exchange.socket, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(exchange.socket, reinterpret_cast<sockaddr *>(&from), sizeof from) != 0) fail("bind");
    if (connect(exchange.socket, reinterpret_cast<sockaddr *>(&server), sizeof server) != 0 && errno != EINPROGRESS)
        fail("connect");
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = slot;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, exchange.socket, &event) != 0) fail("epoll_ctl");
}

static void end(Exchange &exchange, bool good) {
    close(exchange.socket);
    exchange.socket = -1;
    if (good) done++;
    else failed++;
    slowest = std::max(slowest, std::chrono::duration<double>(Clock::now() - exchange.start).count());
}

static void advance(Exchange &exchange, bool until_eof) {
    char buffer[256];
    ssize_t n = read(exchange.socket, buffer, exchange.written ? sizeof buffer : GREETING_SIZE - exchange.greeted);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (exchange.written) {
        if (n <= 0) end(exchange, n == 0);
        return;
    }
    if (n <= 0 || std::memcmp(buffer, GREETING + exchange.greeted, static_cast<size_t>(n)) != 0)
        return end(exchange, false);
    exchange.greeted += static_cast<size_t>(n);
    if (exchange.greeted < GREETING_SIZE) return;
    if (send(exchange.socket, MESSAGE, sizeof MESSAGE - 1, MSG_NOSIGNAL) != sizeof MESSAGE - 1)
        return end(exchange, false);
    if (!until_eof) return end(exchange, true);
    exchange.written = true;
    shutdown(exchange.socket, SHUT_WR);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        std::fprintf(stderr, "usage: recipe_load PORT CLIENTS SECONDS close|eof\n");
        return 2;
    }
    server.sin_family = AF_INET;
    server.sin_port = htons(static_cast<uint16_t>(std::atoi(argv[1])));
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const size_t clients = std::strtoul(argv[2], nullptr, 10);
    const double seconds = std::atof(argv[3]);
    const bool until_eof = std::strcmp(argv[4], "eof") == 0;
    epoll = epoll_create1(0);

    std::vector<Exchange> exchanges(clients);
    std::vector<epoll_event> events(clients);
    auto start = Clock::now();
    size_t open = clients;
    for (size_t i = 0; i < clients; i++) begin(exchanges[i], i);
    double elapsed = 0;
    // What is open at the end may finish; what has not after 5 more seconds hangs.
    while (open > 0 && elapsed < seconds + 5) {
        int ready = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 100);
        for (int i = 0; i < ready; i++) {
            size_t slot = events[static_cast<size_t>(i)].data.u64;
            Exchange &exchange = exchanges[slot];
            advance(exchange, until_eof);
            if (exchange.socket >= 0) continue;
            if (elapsed < seconds) begin(exchange, slot);
            else open--;
        }
        elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    }
    std::printf("{\"connections\": %ld, \"failed\": %ld, \"hung\": %zu, \"seconds\": %.6f, "
                "\"connections_per_second\": %.1f, \"slowest_ms\": %.1f}\n",
                done, failed, open, elapsed, static_cast<double>(done) / elapsed, slowest * 1000);
}
