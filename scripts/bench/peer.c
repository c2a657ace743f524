/* The benchmark's FastCGI program in C: libfcgi, one process for each connection, as spawn-fcgi -F starts them. */
#include <fcgiapp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char large[64 * 1024];

/* Usage: peer SOCKET PROCESSES; without, it serves the socket on descriptor 0 */
int main(int argc, char **argv) {
  FCGX_Request request;
  int listener = 0, i;
  if (FCGX_Init() != 0 || (argc == 3 && (listener = FCGX_OpenSocket(argv[1], 511)) < 0)) return 1;
  memset(large, 'x', sizeof large);
  for (i = argc == 3 ? atoi(argv[2]) : 1; i > 1; i--) {
    if (fork() == 0) break;
  }
  FCGX_InitRequest(&request, listener, 0);
  while (FCGX_Accept_r(&request) == 0) {
    const char *target = FCGX_GetParam("REQUEST_URI", request.envp);
    FCGX_PutS("Content-Type: text/plain\r\n\r\n", request.out);
    if (target != NULL && strstr(target, "/large") != NULL) FCGX_PutStr(large, sizeof large, request.out);
    else FCGX_PutS("hello world\n", request.out);
    FCGX_Finish_r(&request);
  }
  return 0;
}
