package initramfs

import (
	"bytes"
	"encoding/binary"
)

// A signature follows the module: signer, key and signature, a description of 12
// bytes and this. See scripts/sign-file.c.
const (
	signatureMagic = "~Module signature appended~\n"
	signatureInfo  = 12
)

// unsigned is a module without its signature, the file as it was before it was
// signed.
//
// The package that modules come from was verified by the host. To verify each
// again is what a guest's boot would mostly consist of: of 72 modules of Debian's
// 7.3, signed by ECDSA on P-384, 3.6 to 4.2 s of CPU under emulation. The kernel
// then counts as tainted, by 'E', and says so once. A taint of that kind changes
// nothing but what an oops prints and what /proc/sys/kernel/tainted says.
func unsigned(module []byte) []byte {
	rest, ok := bytes.CutSuffix(module, []byte(signatureMagic))
	if !ok || len(rest) < signatureInfo {
		return module
	}
	rest, info := rest[:len(rest)-signatureInfo], rest[len(rest)-signatureInfo:]
	// The sizes of the signer's name, of the key's, and of the signature.
	size := uint64(info[3]) + uint64(info[4]) + uint64(binary.BigEndian.Uint32(info[8:]))
	if size > uint64(len(rest)) {
		return module
	}
	return rest[:uint64(len(rest))-size]
}
