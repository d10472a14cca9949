#include "textflag.h"

// What a character is, by its halves: a high half stands for a bit that each low
// half has with which it makes such a character. Bits 0 to 3 are the ends of simple
// escapes, 4 and 5 hexadecimal digits.
DATA lowHalf<>+0(SB)/8, $0x10343038303D3010
DATA lowHalf<>+8(SB)/8, $0x0104000200001010
GLOBL lowHalf<>(SB), RODATA|NOPTR, $16
DATA highHalf<>+0(SB)/8, $0x0824022010010000
DATA highHalf<>+8(SB)/8, $0x0000000000000000
GLOBL highHalf<>(SB), RODATA|NOPTR, $16

// All bytes of Y are the character; X is its lower half.
#define ALL(CHARACTER, X, Y) \
	MOVL $(CHARACTER*0x01010101), AX \
	VMOVD AX, X \
	VPBROADCASTD X, Y

// The marks of 32 bytes, those that every block has.
#define STRINGS(V, QUOTE, BACKSLASH, CONTROL, HIGH) \
	VPCMPEQB Y0, V, Y12 \
	VPMOVMSKB Y12, QUOTE \
	VPCMPEQB Y1, V, Y13 \
	VPMOVMSKB Y13, BACKSLASH \
	VPMINUB Y2, V, Y14 \
	VPCMPEQB V, Y14, Y14 \
	VPMOVMSKB Y14, CONTROL \
	VPMOVMSKB V, HIGH

// Those of a block with a backslash.
#define ESCAPES(V, U, D, HEX, SIMPLE) \
	VPCMPEQB Y3, V, Y12 \
	VPMOVMSKB Y12, U \
	VPOR Y4, V, Y13 \
	VPCMPEQB Y5, Y13, Y13 \
	VPMOVMSKB Y13, D \
	VPSRLW $4, V, Y14 \
	VPAND Y6, Y14, Y14 \
	VPSHUFB V, Y7, Y12 \
	VPSHUFB Y14, Y8, Y14 \
	VPAND Y12, Y14, Y14 \
	VPCMPGTB Y6, Y14, Y12 \
	VPMOVMSKB Y12, HEX \
	VPAND Y6, Y14, Y14 \
	VPCMPGTB Y9, Y14, Y14 \
	VPMOVMSKB Y14, SIMPLE

// Joins the marks of two halves in the word at DI+AT.
#define JOIN(LOW, HIGH, AT) \
	SHLQ $32, HIGH \
	ORQ HIGH, LOW \
	MOVQ LOW, AT(DI)

// func markBlocks(dst *block, src *byte, n int)
TEXT ·markBlocks(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	ALL(0x22, X0, Y0) // quote
	ALL(0x5C, X1, Y1) // backslash
	ALL(0x1F, X2, Y2) // the last control character
	ALL(0x75, X3, Y3) // u
	ALL(0x20, X4, Y4) // lower case
	ALL(0x64, X5, Y5) // d
	ALL(0x0F, X6, Y6)
	VBROADCASTI128 lowHalf<>(SB), Y7
	VBROADCASTI128 highHalf<>(SB), Y8
	VPXOR Y9, Y9, Y9

next:
	VMOVDQU 0(SI), Y10
	VMOVDQU 32(SI), Y11
	STRINGS(Y10, AX, BX, DX, R8)
	STRINGS(Y11, R9, R10, R11, R12)
	JOIN(AX, R9, 0)
	JOIN(BX, R10, 8)
	JOIN(DX, R11, 16)
	JOIN(R8, R12, 24)
	TESTQ BX, BX
	JZ done // no escapes
	ESCAPES(Y10, AX, BX, DX, R8)
	ESCAPES(Y11, R9, R10, R11, R12)
	JOIN(AX, R9, 32)
	JOIN(BX, R10, 40)
	JOIN(DX, R11, 48)
	JOIN(R8, R12, 56)

done:
	ADDQ $64, SI
	ADDQ $64, DI
	DECQ CX
	JNZ next
	VZEROUPPER
	RET
