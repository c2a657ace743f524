/**
 * What a compiled program does before its runtime begins, on Linux x64 with glibc: under a small limit of address space it
 * starts again in its place with the variables that let Bun run there. From 1150 to 1250 MiB and from 2180 to 2300 MiB Bun would
 * end with a crash report before any JavaScript runs, and below 350 MiB nothing helps: that is said in one line.
 *
 * @module
 */
import { readFileSync, writeFileSync } from "node:fs";
import { frugalVariables, LITTLE_SPACE } from "./frugal.ts";

/** Bytes of address space below which Bun ends with a crash report whatever it is told, measured. */
const LEAST_SPACE = 350 * 2 ** 20;

const message = "runfcgi: the host allows a process too little address space (ulimit -v): it takes 400 MiB. " +
  "Ask the host to raise the limit\n";

/** Machine code, then what it is. It is entered with the arguments and the environment on the stack, as the kernel puts them. */
const listing = `
_start:
52              push rdx                    ; the dynamic linker's, for the start of the C library
4883ec10        sub rsp, 16
b861000000      mov eax, 97                 ; getrlimit(RLIMIT_AS, stack)
bf09000000      mov edi, 9
4889e6          mov rsi, rsp
0f05            syscall
415c            pop r12                     ; the soft limit
5a              pop rdx
488d5c2408      lea rbx, [rsp + 8]
85c0            test eax, eax
0f851c010000    jnz go
4c3b251f010000  cmp r12, [rip + enough]
0f830f010000    jae go
4c3b251a010000  cmp r12, [rip + least]
0f82b2000000    jb little
488b0b          mov rcx, [rbx]              ; argc, argv and the environment
4c8d4308        lea r8, [rbx + 8]
4d8d4cc808      lea r9, [r8 + rcx*8 + 8]
488d35bc010000  lea rsi, [rip + table]
e8bf000000      call find
0f84e4000000    je go                       ; it was started again already
4d89ca          mov r10, r9                 ; behind the environment: the auxiliary vector
count:
498b02          mov rax, [r10]
4983c208        add r10, 8
4885c0          test rax, rax
75f4            jnz count
4c89d1          mov rcx, r10
4c29c9          sub rcx, r9
4829cc          sub rsp, rcx                ; a longer environment, on the stack
4881ec80000000  sub rsp, 128
4889e7          mov rdi, rsp
4c89ce          mov rsi, r9
48c1e903        shr rcx, 3
f348a5          rep movsq
4883ef08        sub rdi, 8
488d357a010000  lea rsi, [rip + table]
add:
803e00          cmp byte ptr [rsi], 0       ; the variables that nobody has set
7415            je added
e878000000      call find
7407            je next
488937          mov [rdi], rsi
4883c708        add rdi, 8
next:
ac              lodsb
84c0            test al, al
75fb            jnz next
ebe6            jmp add
added:
48c70700000000  mov qword ptr [rdi], 0
488d3da3000000  lea rdi, [rip + self]
aux:
498b02          mov rax, [r10]
4885c0          test rax, rax
7410            jz begin
4883f81f        cmp rax, 31                 ; AT_EXECFN
7406            je named
4983c210        add r10, 16
ebec            jmp aux
named:
498b7a08        mov rdi, [r10 + 8]
begin:
4c89c6          mov rsi, r8
4889e2          mov rdx, rsp
b83b000000      mov eax, 59                 ; execve
0f05            syscall
488d3d77000000  lea rdi, [rip + self]
b83b000000      mov eax, 59
0f05            syscall
eb50            jmp go
little:
b801000000      mov eax, 1                  ; write(2, message, length)
bf02000000      mov edi, 2
488d356c000000  lea rsi, [rip + message]
8b1553000000    mov edx, [rip + length]
0f05            syscall
b83c000000      mov eax, 60                 ; exit(1)
bf01000000      mov edi, 1
0f05            syscall
find:
4c89c8          mov rax, r9                 ; whether the environment has the variable at rsi
variable:
488b10          mov rdx, [rax]
4885d2          test rdx, rdx
741c            jz none
31c9            xor ecx, ecx
letter:
448a2c0e        mov r13b, [rsi + rcx]
443a2c0a        cmp r13b, [rdx + rcx]
750a            jne other
4180fd3d        cmp r13b, 61                ; =
740d            je found
ffc1            inc ecx
ebec            jmp letter
other:
4883c008        add rax, 8
ebdc            jmp variable
none:
4885c0          test rax, rax
found:
c3              ret
go:
488d63f8        lea rsp, [rbx - 8]
5a              pop rdx
e900000000      jmp start                   ; filled in
`;

const code = Buffer.from(listing.replace(/;.*/g, "").match(/^[0-9a-f]{2,}(?= )/gm)!.join(""), "hex");

/** What follows the code: the two limits, the length of the message, a path, the message and the variables. */
function data(): Buffer {
  const numbers = Buffer.alloc(20);
  numbers.writeBigUInt64LE(BigInt(LITTLE_SPACE), 0);
  numbers.writeBigUInt64LE(BigInt(LEAST_SPACE), 8);
  numbers.writeUInt32LE(message.length, 16);
  const variables = Object.entries(frugalVariables).map(([name, value]) => `${name}=${value}\0`);
  return Buffer.concat([numbers, Buffer.from(`/proc/self/exe\0${message.padEnd(160, "\0")}${variables.join("")}\0`)]);
}

/** Of the ELF header and its program headers, elf(5). */
const EM_X86_64 = 62;
const PT_LOAD = 1;
const PF_X = 1;
const PAGE = 4096;

/**
 * Puts it into a program file: into the unused bytes before the code, which are on its first page. A file that has no room
 * there, is for another machine or has it already stays as it is.
 *
 * @returns whether the file has it now
 */
export function addEntryPoint(file: string): boolean {
  const bytes = readFileSync(file);
  const isElf64 = bytes.subarray(0, 6).equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]));
  if (!isElf64 || bytes.readUInt16LE(18) !== EM_X86_64) return false;
  const segments = Array.from({ length: bytes.readUInt16LE(56) }, (_, i) => {
    const at = Number(bytes.readBigUInt64LE(32)) + i * bytes.readUInt16LE(54);
    const [offset, address, , length] = [8, 16, 24, 32].map((field) => Number(bytes.readBigUInt64LE(at + field)));
    return { type: bytes.readUInt32LE(at), flags: bytes.readUInt32LE(at + 4), offset, address, length };
  });
  const executable = segments.find(({ type, flags }) => type === PT_LOAD && (flags & PF_X) !== 0);
  if (executable === undefined) return false;
  const { offset, address } = executable;
  const before = segments.filter((segment) => segment.offset < offset).map((segment) => segment.offset + segment.length);
  const place = Math.ceil(Math.max(offset - offset % PAGE, ...before) / 16) * 16;
  const added = Buffer.concat([code, data()]);
  const entry = address - (offset - place);
  const start = Number(bytes.readBigUInt64LE(24));
  if (start === entry) return true;
  if (place + added.length > offset || bytes.subarray(place, offset).some((byte) => byte !== 0)) return false;
  added.writeInt32LE(start - (entry + code.length), code.length - 4);
  added.copy(bytes, place);
  bytes.writeBigUInt64LE(BigInt(entry), 24);
  writeFileSync(file, bytes);
  return true;
}
