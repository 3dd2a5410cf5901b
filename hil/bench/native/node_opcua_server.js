// A node-opcua server for load: DOUBLES variables s=d0, s=d1, ... on 127.0.0.1, without security.
// Usage: node node_opcua_server.js FOLDER DOUBLES. Prints `ready PORT NAMESPACE_INDEX`. NODE_PATH says where node-opcua is installed.
"use strict";

const net = require("node:net");
const path = require("node:path");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { nodesets } = require("node-opcua-nodesets");
const { OPCUAServer } = require("node-opcua-server");
const { MessageSecurityMode, SecurityPolicy } = require("node-opcua-secure-channel");
const { AccessRestrictionsFlag, makePermissionFlag } = require("node-opcua-data-model");
const { resolveNodeId } = require("node-opcua-nodeid");
const { DataType } = require("node-opcua-variant");

// Said of each node: else node-opcua looks for what its namespace says by name, twice for each value that is read, and the
// server is all that is measured.
const EVERYBODY_READS = [
    { roleId: resolveNodeId("WellKnownRole_Anonymous"), permissions: makePermissionFlag("Browse | Read") },
];

async function freePort() {
    const probe = net.createServer().listen(0, "127.0.0.1");
    await new Promise((resolve) => probe.once("listening", resolve));
    const { port } = probe.address();
    await new Promise((resolve) => probe.close(resolve));
    return port;
}

async function main(folder, doubles) {
    const certificates = new OPCUACertificateManager({
        rootFolder: path.join(folder, "pki"),
        automaticallyAcceptUnknownCertificate: true,
    });
    await certificates.initialize();
    const port = await freePort();
    const server = new OPCUAServer({
        port,
        host: "127.0.0.1",
        hostname: "127.0.0.1",
        nodeset_filename: [nodesets.standard],
        serverCertificateManager: certificates,
        userCertificateManager: certificates,
        securityModes: [MessageSecurityMode.None],
        securityPolicies: [SecurityPolicy.None],
        serverCapabilities: { operationLimits: { maxNodesPerRead: 0 } },
    });
    await server.initialize();
    const namespace = server.engine.addressSpace.registerNamespace("urn:gatewayd:bench");
    const plant = namespace.addObject({ browseName: "plant", organizedBy: server.engine.addressSpace.rootFolder.objects });
    for (let number = 0; number < doubles; number++) {
        const name = `d${number}`;
        const variable = namespace.addVariable({
            componentOf: plant,
            browseName: name,
            nodeId: `s=${name}`,
            dataType: DataType.Double,
            accessRestrictions: AccessRestrictionsFlag.None,
            rolePermissions: EVERYBODY_READS,
        });
        variable.setValueFromSource({ dataType: DataType.Double, value: number });
    }
    await server.start();
    console.log(`ready ${port} ${namespace.index}`);
}

main(process.argv[2], Number(process.argv[3])).catch((error) => {
    console.error(error);
    process.exit(1);
});
