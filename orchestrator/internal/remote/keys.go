package remote

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/ssh"

	"github.com/ctmatrix/ctmatrix/guest/observe"
)

// Keys are the identities of both ends for one boot.
type Keys struct {
	boot   observe.Boot
	host   ssh.PublicKey
	client ssh.Signer
}

// NewKeys makes fresh keys.
func NewKeys() (*Keys, error) {
	hostPublic, hostPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make host key: %w", err)
	}
	_, clientPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make client key: %w", err)
	}
	block, err := ssh.MarshalPrivateKey(hostPrivate, "")
	if err != nil {
		return nil, fmt.Errorf("encode host key: %w", err)
	}
	client, err := ssh.NewSignerFromKey(clientPrivate)
	if err != nil {
		return nil, fmt.Errorf("use client key: %w", err)
	}
	host, err := ssh.NewPublicKey(hostPublic)
	if err != nil {
		return nil, fmt.Errorf("use host key: %w", err)
	}
	return &Keys{
		boot: observe.Boot{
			HostKey:   string(pem.EncodeToMemory(block)),
			ClientKey: string(ssh.MarshalAuthorizedKey(client.PublicKey())),
		},
		host: host, client: client,
	}, nil
}

// Boot is what the guest must be told: its own private key and who may come in.
func (k *Keys) Boot() observe.Boot { return k.boot }
