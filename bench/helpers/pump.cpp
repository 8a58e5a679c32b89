// Pumps XADD commands into Redis and counts the replies.
//
//     pump PORT CLIENTS WINDOW SIZE KEYS SECONDS
//
// Each client keeps up to WINDOW commands in flight, all of them in one thread,
// so that the pump takes as little of the machine from Redis as possible.
// Prints one line of JSON. The time includes waiting for the last reply.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
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

[[noreturn]] static void fail(const std::string &what) {
    std::fprintf(stderr, "pump: %s\n", what.c_str());
    std::exit(1);
}

static std::string bulk(const std::string &text) {
    return "$" + std::to_string(text.size()) + "\r\n" + text + "\r\n";
}

static std::string command(const std::string &key, size_t size) {
    std::string payload(size, ' ');
    unsigned state = 12345;
    for (char &c : payload) {
        state = state * 1103515245 + 12345;
        c = static_cast<char>('!' + (state >> 16) % 90);
    }
    return "*5\r\n" + bulk("XADD") + bulk(key) + bulk("*") + bulk("d") + bulk(payload);
}

struct Client {
    int socket = -1;
    size_t command_size = 0;
    std::string chunk;      // whole commands, one after the other, about 64 KiB
    size_t position = 0;    // where in a command the next byte to write is
    size_t to_write = 0;    // bytes of commands already counted as in flight
    size_t in_flight = 0;
    long acknowledged = 0;
    bool at_line_start = true;
    bool in_header = true;  // a reply is two lines: $LENGTH, then the id
};

static Client dial(int port, const std::string &key, size_t size) {
    Client client;
    client.socket = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(client.socket, reinterpret_cast<sockaddr *>(&address), sizeof address) != 0)
        fail(std::string("connect: ") + std::strerror(errno));
    int one = 1;
    setsockopt(client.socket, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(client.socket, F_SETFL, O_NONBLOCK);
    std::string once = command(key, size);
    client.command_size = once.size();
    for (size_t n = std::max<size_t>(1, 65536 / once.size()); n > 0; n--) client.chunk += once;
    return client;
}

static void write_some(Client &client) {
    while (client.to_write > 0) {
        size_t length = std::min(client.to_write, client.chunk.size() - client.position);
        ssize_t n = write(client.socket, client.chunk.data() + client.position, length);
        if (n < 0) {
            if (errno == EAGAIN || errno == EINTR) return;
            fail(std::string("write: ") + std::strerror(errno));
        }
        client.position = (client.position + static_cast<size_t>(n)) % client.command_size;
        client.to_write -= static_cast<size_t>(n);
    }
}

static void read_all(Client &client) {
    static char buffer[262144];
    for (;;) {
        ssize_t n = read(client.socket, buffer, sizeof buffer);
        if (n == 0) fail("redis closed the connection");
        if (n < 0) {
            if (errno == EAGAIN || errno == EINTR) return;
            fail(std::string("read: ") + std::strerror(errno));
        }
        for (const char *p = buffer, *end = buffer + n; p < end;) {
            if (client.at_line_start && client.in_header && *p != '$')
                fail("redis refused: " + std::string(p, std::min<size_t>(60, static_cast<size_t>(end - p))));
            client.at_line_start = false;
            const char *newline = static_cast<const char *>(std::memchr(p, '\n', static_cast<size_t>(end - p)));
            if (!newline) break;
            p = newline + 1;
            client.at_line_start = true;
            if (!client.in_header) {
                client.acknowledged++;
                client.in_flight--;
            }
            client.in_header = !client.in_header;
        }
        if (n < static_cast<ssize_t>(sizeof buffer)) return;
    }
}

int main(int argc, char **argv) {
    if (argc != 7) fail("usage: pump PORT CLIENTS WINDOW SIZE KEYS SECONDS");
    int port = std::atoi(argv[1]);
    size_t count = std::strtoul(argv[2], nullptr, 10), window = std::strtoul(argv[3], nullptr, 10);
    size_t size = std::strtoul(argv[4], nullptr, 10), keys = std::strtoul(argv[5], nullptr, 10);
    double seconds = std::atof(argv[6]);

    std::vector<Client> clients;
    for (size_t i = 0; i < count; i++) clients.push_back(dial(port, "bench" + std::to_string(i % keys), size));
    std::vector<pollfd> polls(count);

    auto start = Clock::now();
    auto stop = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    for (;;) {
        bool sending = Clock::now() < stop;
        bool waiting = false;
        for (size_t i = 0; i < count; i++) {
            Client &client = clients[i];
            if (sending) {
                client.to_write += (window - client.in_flight) * client.command_size;
                client.in_flight = window;
            }
            write_some(client);
            waiting |= client.in_flight > 0;
            polls[i] = {client.socket, static_cast<short>(POLLIN | (client.to_write > 0 ? POLLOUT : 0)), 0};
        }
        if (!waiting) break;
        if (poll(polls.data(), polls.size(), 10000) == 0) fail("no reply for 10 seconds");
        for (size_t i = 0; i < count; i++)
            if (polls[i].revents & (POLLIN | POLLHUP | POLLERR)) read_all(clients[i]);
    }
    double elapsed = std::chrono::duration<double>(Clock::now() - start).count();
    long messages = 0;
    for (const Client &client : clients) messages += client.acknowledged;
    std::printf("{\"messages\": %ld, \"seconds\": %.6f, \"messages_per_second\": %.1f}\n", messages, elapsed,
                static_cast<double>(messages) / elapsed);
}
