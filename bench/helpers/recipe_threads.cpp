// The recipe's server as a textbook extends it: one thread for each connection.
//
//     recipe_threads
//
// Prints its port. On SIGTERM it prints how many messages it has read, and ends.

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <thread>

static std::atomic<long> messages{0};
static std::atomic<long> open_connections{0};
static volatile std::sig_atomic_t stopping = 0;

static void serve(int connection) {
    static const char greeting[] = "You are connected!";
    char message[128];
    if (write(connection, greeting, sizeof greeting - 1) > 0) {
        if (read(connection, message, sizeof message - 1) > 0) messages++;
    }
    close(connection);
    open_connections--;
}

int main() {
    struct sigaction stop {};
    stop.sa_handler = [](int) { stopping = 1; };
    sigaction(SIGTERM, &stop, nullptr);  // no SA_RESTART: accept returns
    std::signal(SIGPIPE, SIG_IGN);

    int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(listener, reinterpret_cast<sockaddr *>(&address), length) != 0 || listen(listener, 128) != 0 ||
        getsockname(listener, reinterpret_cast<sockaddr *>(&address), &length) != 0) {
        std::perror("recipe_threads");
        return 1;
    }
    std::printf("%d\n", ntohs(address.sin_port));
    std::fflush(stdout);

    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    while (!stopping) {
        int connection = accept(listener, nullptr, nullptr);
        if (connection < 0) continue;
        open_connections++;
        // Threads inherit the mask: SIGTERM stays with this one.
        pthread_sigmask(SIG_BLOCK, &term, nullptr);
        std::thread(serve, connection).detach();
        pthread_sigmask(SIG_UNBLOCK, &term, nullptr);
    }
    for (int i = 0; i < 500 && open_connections > 0; i++) usleep(10000);
    std::printf("%ld\n", messages.load());
    std::fflush(stdout);
    _exit(0);
}
